/* Snapshots as pg_current_snapshot() prints them: "xmin:xmax:xip,xip,…" (64-bit ids). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct snapshot {
    uint64_t xmin; /* all below are visible, or aborted */
    uint64_t xmax; /* none from here on is visible */
    uint64_t *xip; /* owned; in progress between the two, ascending */
    size_t xip_count;
};

#define SNAPSHOT_INIT ((struct snapshot){0})

bool snapshot_parse(const char *text, struct snapshot *ret_snapshot, struct err *err);
void snapshot_release(struct snapshot *snapshot);

/* Whether the top-level transaction xid, which has committed, is visible. The 32-bit id of the
 * stream is compared with the low halves of the 64-bit bounds, modulo 2^32 (DESIGN 4). Never
 * for subtransaction ids: snapshots list none. */
bool snapshot_sees(const struct snapshot *snapshot, uint32_t xid);

/* Whether everything visible in older is visible in newer as well. */
bool snapshot_covers(const struct snapshot *newer, const struct snapshot *older);
