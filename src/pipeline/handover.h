/* The hand-over from copy to stream, exact to the transaction (DESIGN 4).
 *
 * Each table T has the snapshot S under which it was copied and an end position L. A change to T
 * by a transaction whose commit record starts before L is skipped exactly when the transaction is
 * visible in S; from L on everything is applied. Changes to relations that the copy did not know
 * are judged by the snapshot of the schema copy. Owner: applier thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "change/batch.h"
#include "keeper/keeper.h"

struct handover;

/* tables and pipeline are read, not kept. */
bool handover_new(const struct keeper_tables *tables, const struct keeper_pipeline *pipeline,
                  struct handover **ret_handover, struct err *err);
void handover_free(struct handover **handover);

/* The newest end position: from there on nothing is skipped, the target is consistent. */
uint64_t handover_end(const struct handover *handover);

/* Whether the copy holds the change already. xid, commit_lsn: of its transaction's BEGIN. Never
 * for a TRUNCATE: see below. */
bool handover_skips(const struct handover *handover, const struct change *change, uint32_t xid,
                    uint64_t commit_lsn);

/* A TRUNCATE is judged for each of its relations: drops from list those that the copy holds.
 * Returns how many are left, in front. */
size_t handover_filter(const struct handover *handover, const struct relation **relations,
                       size_t count, uint32_t xid, uint64_t commit_lsn);
