/* The engine of one pipeline: what its stages share. Owner: engine thread, but for what is marked.
 *
 * The stages, each a function that returns when it is done:
 *   engine_check     refuses what cannot work; changes nothing
 *   engine_prepare   keeper, publication, slot
 *   engine_copy      schema and rows, until every table is copied and indexed
 *   engine_follow    the stream, until a position or for ever
 *   engine_keys      foreign keys and triggers, when the stream has passed the copy's end */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "conf/selection.h"
#include "conf/settings.h"
#include "keeper/keeper.h"
#include "metrics/metrics.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "schema/schema.h"
#include "schema/tools.h"
#include "source/stream.h"
#include "target/failure.h"

struct known_stranger {
    uint32_t oid;
    bool is_skipped;
};

struct engine {
    const struct settings *settings; /* borrowed */
    struct selection selection;
    char *slot;                /* owned, as all text here; the pipeline's name */
    struct keeper_ref ref;     /* of our state: the keeper's schema, the slot */
    char *publication;         /* ours, or the user's own */
    char *source_schema;       /* of the keeper's part on the source, NULL: there is none for us */
    char *inserts_publication; /* ours, of tables without identity; NULL: there is none */
    char *database;            /* the source's */
    char *system_id;           /* the source's */
    uint32_t timeline;         /* the source's, now */
    char *name_prefix;         /* "trunkline:<pipeline>:" of application_name */
    char *work_dir;            /* temporary, removed at the end */

    struct schema_tools tools;
    int source_version;
    int target_version;
    bool is_raw;     /* the source has no encoding: its bytes go to the target as they are */
    bool wants_text; /* the stream must carry text: types differ, or it said so */

    /* Shared: the main thread raises them. soft: finish the group in hand. hard: break off. */
    struct stop *soft;
    struct stop *hard;
    struct metrics *metrics; /* shared */

    struct conn *keeper;         /* to the target: holds the engine's lock, writes the state */
    struct conn *source;         /* while the pipeline starts: engine_source(); else NULL */
    struct keeper_holder holder; /* that session, as the target's catalog names it */
    struct conn *creator; /* replication connection whose slot's snapshot waits to be imported */
    char *created_snapshot;
    struct keeper_pipeline pipeline;
    bool has_seen; /* the checks have just read the tables of both sides: the first step takes them
                    */
    struct table_list seen_tables; /* selected, of the source */
    struct table_list seen_target;
    struct known_stranger *strangers; /* owned */
    size_t stranger_count;
    uint32_t newcomer; /* a relation that the stream brought and nobody has looked at; 0: none */
    uint32_t to_come;  /* the last newcomer: the copy takes it in, if it can */
    struct apply_failure failure; /* of the last session of following */
    bool has_resync_failed;       /* it is that of a table that was being copied anew */
    uint32_t *restless; /* owned: OIDs of tables that changed shape while they were copied */
    size_t restless_count;
    uint64_t until;               /* 0: for ever */
    bool has_started;             /* a lost connection is no longer the end */
    int64_t lost_ms;              /* of the first loss since there was progress; 0: none */
    int retry_ms;                 /* how long the last wait was */
    atomic_bool is_over_bound;    /* shared: the slot held more WAL than max_slot_wal */
    atomic_uint_fast64_t durable; /* shared: the position to print */
    atomic_int stay;              /* shared: enum source_stay, as the control thread sees it */
    struct ahead_signal ahead;    /* shared with the reader */
    int64_t ahead_from_ms;        /* not before; 0: at any time. ahead.c */
    unsigned ahead_failures;      /* in a row */
};

/* Opens a connection of this pipeline; role is the last part of its application_name. */
bool engine_connect(struct engine *engine, bool is_source, const char *role, struct conn **ret_conn,
                    struct err *err);
/* The same from a thread of its own, which this ends. */
bool engine_connect_until(const struct engine *engine, bool is_source, const char *role,
                          const struct stop *stop, struct conn **ret_conn, struct err *err);
char *engine_name(const struct engine *engine, const char *role);

/* Opens engine->source, when it is not: a connection for one question after another. It goes before
 * the pipeline copies or follows, and when something has failed. */
bool engine_source(struct engine *engine, struct err *err);
void engine_forget_seen(struct engine *engine);

/* The tables of the pipeline under the connection's present snapshot. */
bool engine_tables(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                   struct err *err);

/* Publications and what they carry (publish.c). engine_publish() gives tables an identity where
 * that was asked for, refuses those that lack one, and brings our publications in step with the
 * selected tables, which it returns. From then on their changes are published, so the wait and the
 * snapshot of DESIGN 4 come after it. */
bool engine_make_publications(struct engine *engine, struct conn *source, bool *ret_made,
                              struct err *err);
bool engine_check_publications(struct engine *engine, struct conn *source, struct err *err);
bool engine_look_publications(struct engine *engine, struct conn *source, struct err *err);
bool engine_publish(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                    struct err *err);

/* The two halves of engine_publish(). */
bool engine_identified(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                       struct err *err);
bool engine_publish_tables(struct engine *engine, struct conn *source,
                           const struct table_list *tables, struct err *err);

/* What is not published must not be copied either: it would stand still. */
bool engine_filter_published(struct engine *engine, struct conn *source, struct table_list *tables,
                             bool *ret_lacks_some, struct err *err);
bool engine_is_insert_only(const struct table_list *tables, const struct table *table);

/* A pipeline that follows, started again, or (is_first) one that begins without a copy: brings
 * publications, keeper and the selected tables in step (step.c). Tables that have come since make
 * it copy again: the phase says so. */
bool engine_step(struct engine *engine, bool is_first, struct err *err);

/* What becomes of a change to a relation that the keeper does not know. STRANGER_NEW: nobody has
 * looked yet; the stream ends with ERR_RETRY, and engine_take_in() looks: the table is copied,
 * followed, or from then on judged by the other two. */
enum stranger { STRANGER_NEW, STRANGER_SKIPPED, STRANGER_APPLIED };
enum stranger engine_stranger(struct engine *engine, uint32_t oid);
bool engine_take_in(struct engine *engine, struct err *err);

bool engine_check(struct engine *engine, struct err *err);

/* Refuses tables whose UPDATEs would fail on the source once they are published. */
bool engine_check_identity(const struct table_list *tables, struct err *err);

/* (Re)opens the keeper's connection and takes the engine's lock. */
bool engine_lock(struct engine *engine, struct err *err);
bool engine_prepare(struct engine *engine, struct err *err);
bool engine_copy(struct engine *engine, struct err *err);
bool engine_keys(struct engine *engine, struct err *err);

/* Applies the stream up to `until` (0: until stopped, then ERR_STOP). Reconnects by itself. */
bool engine_follow(struct engine *engine, uint64_t until, struct err *err);

/* Sets the target's sequences to the source's values; never backwards. */
bool engine_sequences(struct engine *engine, struct err *err);

/* After ERR_RETRY: waits (0.5 s doubling to 30 s) and reopens the keeper's connection, as long as
 * reconnect_timeout allows. False with the error when it does not, or on a stop. The clock runs on
 * until engine_recovered(): a part was copied, the applied position has moved, or all is applied.
 */
bool engine_reconnect(struct engine *engine, struct err *err);

/* Both servers have answered: the next loss starts the clock anew. */
void engine_recovered(struct engine *engine);
