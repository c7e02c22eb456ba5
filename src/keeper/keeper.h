/* The keeper: trunkline's state in the target database, in a schema of its own.
 *
 * Invariants: the position is changed only in the transaction that applies what lies before it,
 * and only from the value that the writer started from; a part's "done" is written in the
 * transaction that wrote its rows. So state and data cannot disagree, whatever dies when. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "pg/conn.h"

enum { KEEPER_VERSION = 7 };

/* Whose state: the schema and the pipeline's slot. Texts are borrowed. */
struct keeper_ref {
    const char *schema;
    const char *slot;
};

/* What a pipeline has reached; each value means that all before it is done. */
enum keeper_phase {
    KEEPER_CREATED,   /* recorded; publication and slot may or may not exist */
    KEEPER_SLOT,      /* the slot exists, the position is its start */
    KEEPER_TABLES,    /* tables exist on the target, parts are planned */
    KEEPER_ROWS,      /* all rows are copied */
    KEEPER_INDEXES,   /* indexes and keys are built; the stream may be applied */
    KEEPER_FOLLOWING, /* foreign keys and triggers exist; the copy is complete */
};

const char *keeper_phase_name(enum keeper_phase phase);

struct keeper_pipeline {
    char *slot; /* owned, as all text here; the pipeline's name */
    char *publication;
    char *system_id;
    char *database;
    uint32_t timeline;
    uint64_t epoch;
    enum keeper_phase phase;
    char *schema_snapshot; /* of the last schema copy; judges relations the copy did not know */
    uint64_t schema_lsn;
    char *patterns;  /* the table patterns it was made with, joined by spaces */
    char *source_id; /* of the source's keeper, which init made; NULL without one */
    char *waits_for; /* what the engine waits for just now, NULL: nothing */
    uint64_t position;
    uint64_t consistent_from; /* the target is a state of the source from here on; 0: not yet */
    bool is_snapshot;         /* a copy that is not followed: gone when it is complete */
    bool is_making_slot;      /* a slot that is there is ours, and was not accepted */
    char *fresh_at; /* the source's clock when the position was last its end; NULL: not known */
};

void keeper_pipeline_release(struct keeper_pipeline *pipeline);

/* Looks at the schema without changing anything. *ret_version is 0 when there is none. A schema
 * of that name without our mark: ERR_CONFIG. */
bool keeper_look(struct conn *conn, const char *schema, int *ret_version, struct err *err);

/* Creates the schema or brings it up to KEEPER_VERSION; one transaction, idempotent. */
bool keeper_migrate(struct conn *conn, const char *schema, struct err *err);

/* Drops the state of a target; and the schema, when it carries our mark and holds nothing else.
 * *ret_dropped tells whether there was one. */
bool keeper_drop(struct conn *conn, const char *schema, bool *ret_dropped, struct err *err);

/* The schema itself, for this keeper and the source's: makes it with our mark when there is none;
 * drops it when nothing is left in it. A schema without our mark: ERR_CONFIG. */
bool keeper_schema_look(struct conn *conn, const char *schema, bool *ret_exists, struct err *err);
bool keeper_schema_make(struct conn *conn, const char *schema, struct err *err);
bool keeper_schema_drop_empty(struct conn *conn, const char *schema, struct err *err);

/* A snapshot's record is a keeper of its own, so that a pipeline in the same target is not
 * disturbed: its schema, and a name that no slot can have. Owned by the caller. */
char *keeper_snapshot_schema(const char *schema);
char *keeper_snapshot_name(const char *schema);

/* The engine's lock: held by the session that got it. A holder that is all NULL and 0: nobody. */
struct keeper_holder {
    int pid;
    char *client; /* owned; address, NULL for a local one */
    char *since;  /* owned */
};
void keeper_holder_release(struct keeper_holder *holder);
bool keeper_lock_holder(struct conn *conn, const struct keeper_ref *ref,
                        struct keeper_holder *ret_holder, struct err *err);
bool keeper_try_lock(struct conn *conn, const struct keeper_ref *ref, struct keeper_holder *ret_own,
                     struct err *err);

/* The one pipeline of this keeper. *ret_found is false when it has none yet. */
bool keeper_load(struct conn *conn, const char *schema, bool *ret_found,
                 struct keeper_pipeline *ret_pipeline, struct err *err);

/* Records a new pipeline in phase KEEPER_CREATED. */
bool keeper_create(struct conn *conn, const char *schema, const struct keeper_pipeline *pipeline,
                   struct err *err);

/* What the engine waits for, for `status`; NULL: nothing any more. */
bool keeper_set_waits(struct conn *conn, const struct keeper_ref *ref, const char *what,
                      struct err *err);
bool keeper_set_patterns(struct conn *conn, const struct keeper_ref *ref, const char *patterns,
                         struct err *err);
bool keeper_set_consistent(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn,
                           struct err *err);

/* All that the source had committed at that time (its own clock) is durable on the target. */
bool keeper_set_fresh(struct conn *conn, const struct keeper_ref *ref, const char *fresh_at,
                      struct err *err);

/* The slot is going to be made, and not to be trusted; then that it exists and is: stores its start
 * as the position, and the phase. */
bool keeper_set_making_slot(struct conn *conn, const struct keeper_ref *ref, struct err *err);
bool keeper_set_slot(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn,
                     struct err *err);

/* The same for a pipeline without a copy: it follows from there on. One transaction: a phase in
 * between would be taken for a copy to be finished. */
bool keeper_set_following(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn,
                          struct err *err);
bool keeper_set_phase(struct conn *conn, const struct keeper_ref *ref, enum keeper_phase phase,
                      struct err *err);
bool keeper_set_timeline(struct conn *conn, const struct keeper_ref *ref, uint32_t timeline,
                         struct err *err);
bool keeper_set_schema(struct conn *conn, const struct keeper_ref *ref, const char *snapshot,
                       uint64_t lsn, struct err *err);

/* For pipelines: moves the position from $2 to $3 for slot $1; one row when nobody moved it.
 * Owned by the caller. */
char *keeper_position_sql(const char *schema);

/* For pipelines: records part $3 of table $2 of slot $1 as done, $4 rows, $5 bytes. Owned. */
char *keeper_part_sql(const char *schema);

bool keeper_position(struct conn *conn, const struct keeper_ref *ref, uint64_t *ret_lsn,
                     struct err *err);

/* One table of the copy. */
struct keeper_table {
    uint32_t oid; /* the source's */
    uint32_t target_oid;
    char *schema;
    char *name;
    char *snapshot;   /* S of DESIGN 4 */
    uint64_t end_lsn; /* L of DESIGN 4 */
    char *signature;  /* its columns as copied: "name oid typmod" lines */
    bool is_copied;
    bool is_ours;        /* the table was made by the copy, not found there */
    bool is_insert_only; /* its UPDATEs and DELETEs are not published */
    uint64_t parked_lsn; /* from here on its changes are left out (park.h); 0: they are not */
    bool is_resync;      /* it is parked, and to be copied anew beside the stream */
};

struct keeper_tables {
    struct keeper_table *items; /* by oid */
    size_t count;
};
#define KEEPER_TABLES_INIT ((struct keeper_tables){0})
bool keeper_tables(struct conn *conn, const struct keeper_ref *ref,
                   struct keeper_tables *ret_tables, struct err *err);
void keeper_tables_release(struct keeper_tables *tables);
const struct keeper_table *keeper_table_find(const struct keeper_tables *tables, uint32_t oid);

/* Records (again) tables that are about to be copied; their old parts are forgotten. Stored is what
 * was added before keeper_plan_end() returned true. In place, zeroed but for conn and ref. */
struct keeper_plan {
    struct conn *conn;            /* borrowed */
    const struct keeper_ref *ref; /* borrowed */
    struct buf oids;
    struct buf rows;
};

bool keeper_plan_table(struct keeper_plan *plan, const struct keeper_table *table, int parts,
                       struct err *err);
bool keeper_plan_end(struct keeper_plan *plan, struct err *err);
void keeper_plan_release(struct keeper_plan *plan); /* AUTO handler */

/* Replaces S and L of a table, in the transaction that holds its rows. */
bool keeper_set_snapshot(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                         const char *snapshot, uint64_t end_lsn, struct err *err);

/* Forgets what is copied of all tables, or of one: they start again. Whose they are stays known. */
bool keeper_restart_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err);
bool keeper_restart_table(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                          struct err *err);

/* Forgets all tables, which a start without a copy that was cut off has recorded as followed. */
bool keeper_forget_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err);

/* Whether the UPDATEs and DELETEs of a table are left out from now on. */
bool keeper_set_insert_only(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                            bool is_insert_only, struct err *err);

/* Marks every table whose parts are all done. */
bool keeper_finish_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err);
bool keeper_forget_table(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                         struct err *err);
