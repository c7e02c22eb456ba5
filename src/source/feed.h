/* Where changes come from: the seam between any source and the pipeline.
 *
 * Invariant of every feed: what it hands out after `after` is complete and in commit order; it
 * never tells the source that more is durable than confirm() was given. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "change/batch.h"
#include "change/position.h"

struct feed;

struct feed_ops {
    /* Starts behind `after`: transactions whose commit record starts before it are left out. */
    bool (*open)(struct feed *feed, const struct position *after, struct err *err);

    /* Waits up to timeout_ms. *ret_batch is NULL when nothing came; else the caller owns it.
     * Also keeps the connection alive, so it must be called often. */
    bool (*next)(struct feed *feed, int timeout_ms, struct batch **ret_batch, struct err *err);

    /* Keeps the connection alive while the caller has no room for a batch. */
    bool (*tend)(struct feed *feed, struct err *err);

    /* From any thread; never blocks. */
    void (*confirm)(struct feed *feed, const struct position *durable);

    void (*free)(struct feed **feed);
};

/* First member of every feed. */
struct feed {
    const struct feed_ops *ops;
};
