/* A queue between threads, bounded by items and by bytes; closing it is the shutdown.
 * Shared: lock. One item larger than the byte bound still passes when the queue is empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct queue;

enum queue_result {
    QUEUE_OK,
    QUEUE_TIMEOUT,
    QUEUE_CLOSED, /* for pop: closed and drained */
};

struct queue *queue_new(size_t max_items, size_t max_bytes);

/* Items still inside are handed to free_item (may be NULL). No thread may be waiting. */
void queue_free(struct queue **queue, void (*free_item)(void *item));

/* Waits up to timeout_ms (negative: without end) for room. The item belongs to the queue on
 * QUEUE_OK only. */
enum queue_result queue_push(struct queue *queue, void *item, size_t bytes,
                             int timeout_ms) MUST_USE;

/* Waits up to timeout_ms (negative: without end; 0: not at all) for an item. */
enum queue_result queue_pop(struct queue *queue, void **ret_item, int timeout_ms) MUST_USE;

/* No more pushes; pops drain what is left, then get QUEUE_CLOSED. Wakes all waiters. */
void queue_close(struct queue *queue);

size_t queue_count(struct queue *queue);
size_t queue_bytes(struct queue *queue);
