/* publish_via_root: rows of partitions go to the target's table of their topmost root's name,
 * whatever that one is: partitioned otherwise, or not at all. Engine thread.
 *
 * The source still publishes leaf by leaf (a publication via the root drops a leaf's own TRUNCATE
 * without a word), and S and L are kept for each leaf. Invariants:
 *   - The leaves of one root are copied under one S, each whole: its rows and its record are one
 *     transaction. The root is emptied in the transaction that plans them. So S shows a TRUNCATE of
 *     the root for all of its leaves or for none, and a leaf that must be copied (again) takes all
 *     the others of its root with it: what is finished is the root, not the leaf.
 *   - A leaf that was made as a partition of a published root needs no copy: all its rows are in
 * the stream (step.c).
 *   - Only a TRUNCATE that empties every leaf of a root empties the root. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "change/relation.h"
#include "pipeline/engine.h"

/* Whether its rows go to its root. */
bool route_is_leaf(const struct engine *engine, const struct table *table);

/* Whether a table of the copy is in a table of another name. there: the target's. */
bool route_is_routed(const struct engine *engine, const struct table_list *there,
                     const struct keeper_table *kept);

/* Marks in kept the leaves that start again because another one of their root does: it is not
 * finished, or new among tables. *ret_has_marked: there were some. */
bool route_restart(const struct engine *engine, const struct table_list *tables,
                   struct keeper_tables *kept, bool *ret_has_marked, struct err *err);

/* Adds, as "oid,oid", the relations of the source that the schema copy leaves alone: roots that the
 * target has in the user's own shape, with their partitions and identity sequences. A root is not
 * the user's own when it is partitioned by the same key and has none of its partitions yet, or one
 * with the same name and bounds. */
bool route_find_own(const struct engine *engine, struct conn *source,
                    const struct table_list *tables, struct buf *oids, struct err *err);

/* A table of the pipeline whose rows belong elsewhere now: attached to a root, or detached; then
 * the others of the root that it was in start again. A setting that was switched off: ERR_CONFIG.
 */
bool route_check_moved(const struct engine *engine, const struct table_list *there,
                       const struct keeper_tables *all, const struct keeper_table *kept,
                       const struct table *table, bool *ret_is_moved, struct err *err);

/* The relations of a TRUNCATE, and those of them that the copy does not hold already. (A leaf that
 * joined empty has no rows in the root.) */
struct truncated {
    const struct relation *const *all; /* borrowed, as applied */
    size_t all_count;
    const struct relation *const *applied;
    size_t applied_count;
};

/* Refuses a TRUNCATE of some leaves of a root only. */
bool route_check_truncate(struct engine *engine, const struct keeper_tables *kept,
                          const struct truncated *truncated, struct err *err);
