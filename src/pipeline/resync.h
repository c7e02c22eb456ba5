/* Copying tables anew while the others are followed (DESIGN 4): `run --resync`. Engine thread.
 *
 * Invariants:
 *   - From before the first change that is set aside until its new copy has joined, a table is
 *     recorded as parked, to be copied anew: what is set aside is nobody's state, and every session
 *     of following begins all of it again.
 *   - A table joins between transactions, when the stream has passed L: in one transaction of the
 *     target its contents become the copy's, what was set aside is applied, the keeper says that it
 *     is followed, and the position is stored. Until then it stands as it was parked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "change/batch.h"
#include "pipeline/engine.h"
#include "target/target.h"

struct resync;

/* Records the tables that --resync names, partitions for their roots. Refuses, before it records
 * any, names that match none, and tables that are not followed or go into their root's. */
bool resync_request(struct engine *engine, struct err *err);

/* At the beginning of a session: its tables are set aside from here on, and copied. *ret_resync is
 * NULL when there are none. */
bool resync_open(struct engine *engine, const struct keeper_tables *tables,
                 struct resync **ret_resync, struct err *err);
void resync_close(struct resync **resync);

/* A change of a table that is copied anew is kept; one of others is not. xid: of its transaction.
 * NULL is allowed. */
void resync_keep(struct resync *resync, const struct change *change,
                 const struct relation *relation, uint32_t xid);

/* Between batches: brings memory within its bound. */
bool resync_settle(struct resync *resync, struct err *err);

/* What the copying thread has done. A table that could not be copied: false. */
bool resync_look(struct resync *resync, struct err *err);

/* Whether one could join now: all transactions before lsn have come. */
bool resync_is_ready(const struct resync *resync, uint64_t lsn);

/* Lets one of them join, and stores the position; no group is open. tables: of the session, which
 * learns what the keeper is told. */
bool resync_join(struct resync *resync, struct target *target, struct keeper_tables *tables,
                 const struct position *position, struct err *err);

/* Whether all have joined. */
bool resync_is_over(const struct resync *resync);
