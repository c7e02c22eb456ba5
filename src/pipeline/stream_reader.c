/* The stream reader thread: feed to queue. It keeps the source's connection alive whatever the
 * target does: while the queue is full it goes on tending the feed. */
#include "pipeline/stream_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "change/batch.h"

enum { NEXT_MS = 200, PUSH_MS = 200, QUEUE_ITEMS = 4096 };

struct stream_reader {
    struct feed *feed;
    struct position after;
    struct stop *stop; /* borrowed */
    struct queue *queue;
    pthread_t thread;
    struct err err; /* the thread's; read after it has ended */
};

static bool push(struct stream_reader *reader, struct batch **take_batch, struct err *err)
{
    for (;;) {
        switch (queue_push(reader->queue, *take_batch, batch_bytes(*take_batch), PUSH_MS)) {
        case QUEUE_OK:
            (void)TAKE(*take_batch); /* the queue's now */
            return true;
        case QUEUE_CLOSED:
            return err_set(err, ERR_STOP, "interrupted");
        case QUEUE_TIMEOUT:
            break;
        }
        if (stop_raised(reader->stop))
            return err_set(err, ERR_STOP, "interrupted");
        if (!reader->feed->ops->tend(reader->feed, err))
            return false;
    }
}

static bool read_on(struct stream_reader *reader, struct err *err)
{
    AUTO(batch_unref) struct batch *batch = NULL;
    if (!reader->feed->ops->next(reader->feed, NEXT_MS, &batch, err))
        return false;
    if (batch)
        log_trace("read %zu changes, %zu bytes", batch_count(batch), batch_bytes(batch));
    return !batch || push(reader, &batch, err);
}

static void *reader_main(void *arg)
{
    struct stream_reader *reader = arg;
    log_thread("reader");
    bool is_good = reader->feed->ops->open(reader->feed, &reader->after, &reader->err);
    if (is_good)
        log_debug("reading the stream");
    while (is_good && !stop_raised(reader->stop))
        is_good = read_on(reader, &reader->err);
    queue_close(reader->queue);
    return NULL;
}

static void free_batch(void *item)
{
    struct batch *batch = item;
    batch_unref(&batch);
}

bool stream_reader_start(const struct stream_options *options, const struct position *after,
                         struct stop *stop, size_t queue_bytes, struct stream_reader **ret_reader,
                         struct err *err)
{
    struct stream_reader *reader = mem_alloc(sizeof(*reader));
    reader->feed = stream_new(options);
    reader->after = *after;
    reader->stop = stop;
    reader->queue = queue_new(QUEUE_ITEMS, queue_bytes);
    if (pthread_create(&reader->thread, NULL, reader_main, reader) != 0) {
        reader->feed->ops->free(&reader->feed);
        queue_free(&reader->queue, NULL);
        free(reader);
        return err_set(err, ERR_FATAL, "could not start the stream reader's thread");
    }
    *ret_reader = reader;
    return true;
}

struct queue *stream_reader_queue(struct stream_reader *reader)
{
    return reader->queue;
}

void stream_reader_confirm(struct stream_reader *reader, const struct position *durable)
{
    reader->feed->ops->confirm(reader->feed, durable);
}

uint32_t stream_reader_timeline(const struct stream_reader *reader)
{
    return stream_timeline(reader->feed);
}

void stream_reader_stop(struct stream_reader **reader, struct err *ret_err, bool *ret_needs_text)
{
    struct stream_reader *r = *reader;
    if (!r)
        return;
    stop_raise(r->stop);
    queue_close(r->queue);
    (void)pthread_join(r->thread, NULL);
    (void)err_copy(ret_err, &r->err);
    *ret_needs_text = stream_needs_text(r->feed);
    r->feed->ops->free(&r->feed);
    queue_free(&r->queue, free_batch);
    free(r);
    *reader = NULL;
}
