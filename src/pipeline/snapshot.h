/* Copying once: `snapshot`, and `run` in MODE_SNAPSHOT. Needs SELECT on the source and nothing
 * else: no slot, no publication, no replication connection. Owner: engine thread. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

/* From the checks to the end: afterwards nothing of ours is left on either side but the copied
 * tables. When it fails, what stands half copied stays recorded on the target; the next snapshot
 * of the same source starts again from nothing, and tear-down removes the record. */
bool snapshot_run(struct engine *engine, struct err *err);

/* --- between snapshot.c and snapshot_check.c --- */

struct snapshot {
    struct engine *engine;     /* borrowed */
    char *schema;              /* owned: of the record */
    bool is_standby;           /* the source */
    bool is_known;             /* the record of an unfinished snapshot of this source was found */
    struct keeper_tables kept; /* and its tables */
    struct buf reset_sql;      /* the TRUNCATE that was agreed to; empty: none */
    struct strv changed;       /* tables that changed under the last attempt's snapshot */
};

/* Refuses what cannot work, before anything is made; takes the engine's lock. Asks before rows of
 * the target go, which --reset wants. */
bool snapshot_check(struct snapshot *snapshot, struct err *err);

/* Adds the TRUNCATE of the target's tables that is_listed names (one flag a table of there): those
 * and no others. A partitioned table is named when all its partitions are. */
void snapshot_truncate_sql(const struct table_list *there, const bool *is_listed, struct buf *sql);
