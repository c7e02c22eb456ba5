/* Bounded queue: one lock, two conditions, a singly linked list. See queue.h. */
#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct node {
    struct node *next;
    void *item;
    size_t bytes;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_cond_t drained;
    struct node *head;
    struct node **tail;
    size_t count, max_items;
    size_t bytes, max_bytes;
    bool is_closed;
};

struct queue *queue_new(size_t max_items, size_t max_bytes)
{
    struct queue *queue = mem_alloc(sizeof(*queue));
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->filled, &attr);
    (void)pthread_cond_init(&queue->drained, &attr);
    (void)pthread_condattr_destroy(&attr);
    queue->tail = &queue->head;
    queue->max_items = max_items;
    queue->max_bytes = max_bytes;
    return queue;
}

void queue_free(struct queue **queue, void (*free_item)(void *item))
{
    struct queue *q = *queue;
    if (!q)
        return;
    for (struct node *node = q->head, *next; node; node = next) {
        next = node->next;
        if (free_item)
            free_item(node->item);
        free(node);
    }
    (void)pthread_cond_destroy(&q->filled);
    (void)pthread_cond_destroy(&q->drained);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
    *queue = NULL;
}

static struct timespec deadline_in(int timeout_ms)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += timeout_ms / 1000;
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (ts.tv_nsec >= 1000000000L) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000L;
    }
    return ts;
}

/* Waits once on cond; false: the deadline has passed. Called with the lock held. */
static bool wait_once(struct queue *queue, pthread_cond_t *cond, int timeout_ms,
                      const struct timespec *deadline)
{
    if (timeout_ms == 0)
        return false;
    if (timeout_ms < 0)
        return pthread_cond_wait(cond, &queue->lock) == 0;
    return pthread_cond_timedwait(cond, &queue->lock, deadline) != ETIMEDOUT;
}

static bool has_room(const struct queue *queue, size_t bytes)
{
    if (queue->count == 0)
        return true;
    return queue->count < queue->max_items && queue->bytes + bytes <= queue->max_bytes;
}

enum queue_result queue_push(struct queue *queue, void *item, size_t bytes, int timeout_ms)
{
    struct timespec deadline = deadline_in(MAX_OF(timeout_ms, 0));
    struct node *node = mem_alloc(sizeof(*node));
    node->item = item;
    node->bytes = bytes;

    (void)pthread_mutex_lock(&queue->lock);
    bool in_time = true;
    while (!queue->is_closed && !has_room(queue, bytes) && in_time)
        in_time = wait_once(queue, &queue->drained, timeout_ms, &deadline);
    enum queue_result result = QUEUE_OK;
    if (queue->is_closed) {
        result = QUEUE_CLOSED;
    } else if (!has_room(queue, bytes)) {
        result = QUEUE_TIMEOUT;
    } else {
        *queue->tail = node;
        queue->tail = &node->next;
        queue->count++;
        queue->bytes += bytes;
        node = NULL;
        (void)pthread_cond_signal(&queue->filled);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    free(node);
    return result;
}

enum queue_result queue_pop(struct queue *queue, void **ret_item, int timeout_ms)
{
    struct timespec deadline = deadline_in(MAX_OF(timeout_ms, 0));
    (void)pthread_mutex_lock(&queue->lock);
    bool in_time = true;
    while (!queue->head && !queue->is_closed && in_time)
        in_time = wait_once(queue, &queue->filled, timeout_ms, &deadline);
    struct node *node = queue->head;
    bool is_closed = queue->is_closed;
    if (node) {
        queue->head = node->next;
        if (!queue->head)
            queue->tail = &queue->head;
        queue->count--;
        queue->bytes -= node->bytes;
        (void)pthread_cond_broadcast(&queue->drained);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    if (!node)
        return is_closed ? QUEUE_CLOSED : QUEUE_TIMEOUT;
    *ret_item = node->item;
    free(node);
    return QUEUE_OK;
}

void queue_close(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    (void)pthread_cond_broadcast(&queue->filled);
    (void)pthread_cond_broadcast(&queue->drained);
    (void)pthread_mutex_unlock(&queue->lock);
}

size_t queue_count(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    (void)pthread_mutex_unlock(&queue->lock);
    return count;
}

size_t queue_bytes(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    size_t bytes = queue->bytes;
    (void)pthread_mutex_unlock(&queue->lock);
    return bytes;
}
