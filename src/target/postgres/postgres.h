/* The PostgreSQL target. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "conf/settings.h"
#include "keeper/keeper.h"
#include "metrics/metrics.h"
#include "target/failure.h"
#include "target/target.h"

struct postgres_options { /* everything borrowed, outlives the target */
    const char *url;
    const char *application_name; /* copied */
    struct keeper_ref keeper;
    const struct keeper_tables *tables; /* columns as copied; NULL for copiers */
    bool is_raw; /* the source has no encoding: the target takes its bytes as its own encoding's */
    int connect_timeout_ms;
    int tcp_user_timeout_ms;
    const struct stop *stop;
    struct metrics *metrics;
    enum on_conflict on_conflict; /* conflict.c says what each means */
    enum apply_mode apply_mode;
    enum disable_triggers disable_triggers;
    bool is_ahead; /* what is applied may be rolled back by the source: no trigger may see it */
    bool via_root; /* a table's changes go into that of its root, as it was copied */
    /* Takes a line for the log about a change that did not fit: its table and key. Called in the
     * applier's thread; not for every one, see conflict.c. NULL: not wanted. */
    void (*note)(const char *text);
    struct apply_failure
        *failure; /* says after a failed apply() which table is at fault; or NULL */
};

/* Connects. Unless disable_triggers says otherwise, session_replication_role becomes replica: user
 * triggers and foreign keys do not act, but for triggers that are ENABLE ALWAYS or REPLICA. */
bool postgres_open(const struct postgres_options *options, struct target **ret_target,
                   struct err *err);

/* One statement within the group in hand, which it begins if need be; its answer is read. */
bool postgres_run(struct target *target, const char *sql, struct err *err);

/* From now on, no group being in hand, a lock is waited for so long; what fails by it has SQLSTATE
 * 55P03. 0: for ever, as at the beginning. */
bool postgres_limit_locks(struct target *target, int timeout_ms, struct err *err);

/* Whether triggers and foreign keys are off for the target's session. Not so with TRIGGERS_FIRE,
 * nor with TRIGGERS_AUTO when the role may not switch them off. */
bool postgres_is_replica(const struct target *target);
