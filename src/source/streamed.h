/* Transactions in progress: what the source sends of them before they end, kept until they do.
 *
 * Invariants: what is replayed of a transaction is all that was kept of it, in its order, without
 * its subtransactions that were rolled back; never a part. A transaction whose beginning was not
 * seen is an error: the source sends one that is open at a restart again, from its beginning. That
 * is why nothing kept here counts as received, and a position beyond it may be confirmed.
 * Owner: stream reader thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "source/spill.h"

struct streamed;

bool streamed_open(const struct spill_options *options, struct streamed **ret_streamed,
                   struct err *err);
void streamed_free(struct streamed **streamed);

/* A block begins: messages of transaction xid (the top-level one) follow. */
bool streamed_start(struct streamed *streamed, uint32_t xid, bool is_first, struct err *err);

/* One message of the block, as it came. */
bool streamed_add(struct streamed *streamed, const char *data, size_t len, struct err *err);
void streamed_stop(struct streamed *streamed);

/* subxid was rolled back; being xid itself, the whole transaction was. One of which nothing was
 * kept may be named too. */
void streamed_abort(struct streamed *streamed, uint32_t xid, uint32_t subxid);

/* The transaction is replayed next: streamed_next() hands out its messages one by one, borrowed
 * until the next call, with length 0 for one that was rolled back (so that each call is short), and
 * NULL once at its end, when it is forgotten. */
bool streamed_replay(struct streamed *streamed, uint32_t xid, struct err *err);
bool streamed_next(struct streamed *streamed, const char **ret_data, size_t *ret_len,
                   struct err *err);

/* See spill_store_settle(). */
bool streamed_settle(struct streamed *streamed, struct err *err);
