/* The replication slot on the source: looking, checking, moving, removing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "pg/conn.h"

/* "trunkline:<slot>:", the beginning of application_name of a pipeline's sessions. The server cuts
 * those at 63 bytes: a long slot is shortened to its beginning and a hash. Owned by the caller. */
char *slot_session_prefix(const char *slot);

/* The name that was given, or the default "<program>_<database>_slot"; owned by the caller. What
 * the server would not take as a name: ERR_CONFIG. */
bool slot_name(const char *given, const char *program, const char *database, char **ret_name,
               struct err *err);

struct slot_state {
    bool exists;
    bool is_active;
    int active_pid;
    char *active_name; /* owned; application_name of who uses it, NULL when unknown */
    char *plugin;      /* owned */
    char *database;    /* owned; NULL for a physical slot */
    bool is_lost;      /* invalidated: the WAL it needs is gone */
    bool is_two_phase;
    uint64_t confirmed;
    uint64_t restart;
};

void slot_state_release(struct slot_state *state);
bool slot_look(struct conn *source, const char *slot, struct slot_state *ret_state,
               struct err *err);

/* Refuses a slot that is of another kind, database or plugin, or invalidated (ERR_CONFIG). */
bool slot_check(const struct slot_state *state, const char *slot, const char *database,
                struct err *err);

/* Waits until nobody uses the slot, ending sessions of our own pipeline (by application_name
 * prefix; NULL: none) that outlived their engine. In use by anybody else after timeout_ms:
 * ERR_CONFIG that names the pid. */
bool slot_wait_free(struct conn *source, const char *slot, const char *own_prefix,
                    const struct stop *stop, int timeout_ms, struct err *err);

bool slot_drop(struct conn *source, const char *slot, bool *ret_dropped, struct err *err);

/* Something that changes with every committed change to what decoding reads of the catalog: tables
 * (a TRUNCATE too), their columns and indexes, types, publications. Owned by the caller. */
bool slot_catalog(struct conn *source, char **ret_mark, struct err *err);

/* Moves an unused slot up to the source's end of WAL. */
bool slot_advance(struct conn *source, const char *slot, uint64_t *ret_lsn, struct err *err);

/* The source's end of WAL, in a way that the stream passes soon even when nobody writes: a
 * transactional message is written behind it and flushed. */
bool source_end(struct conn *source, uint64_t *ret_lsn, struct err *err);
