/* Changes of one table that are set aside while it is copied anew, in memory or in a spill file.
 *
 * Invariant: what comes back is what was set aside, in its order, each with the transaction that it
 * belongs to: without what the copy shows already (DESIGN 4), and nothing else is left out.
 * Owner: applier thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "change/batch.h"
#include "pg/snapshot.h"
#include "source/spill.h"

struct aside;

/* label: the table, for errors; copied. */
struct aside *aside_new(struct spill_store *store, const char *label);
void aside_free(struct aside **aside);

/* A row's change, or a TRUNCATE that lists the relation among others. xid: of its transaction. */
void aside_add(struct aside *aside, const struct change *change, const struct relation *relation,
               uint32_t xid);

/* The next changes, taken away: max_count of them or some 4 MiB; none when all are out.
 * snapshot, end_lsn: S and L of the copy. */
bool aside_next(struct aside *aside, const struct snapshot *snapshot, uint64_t end_lsn,
                size_t max_count, struct batch **ret_batch, struct err *err);

/* How many were set aside. */
uint64_t aside_count(const struct aside *aside);
