/* The stream reader: the thread that owns the feed and fills the queue of batches. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/queue.h"
#include "change/position.h"
#include "pipeline/engine.h"
#include "source/stream.h"

struct stream_reader;

/* Opens the feed behind `after` in a new thread, which then runs until it fails or
 * stream_reader_stop(). options->stop must be the one given here: it ends the thread's waits. */
bool stream_reader_start(const struct stream_options *options, const struct position *after,
                         struct stop *stop, size_t queue_bytes, struct stream_reader **ret_reader,
                         struct err *err);

/* The batches, in order; closed when the reader has ended. Borrowed. */
struct queue *stream_reader_queue(struct stream_reader *reader);

/* From any thread, never blocks: the source may forget what lies before. */
void stream_reader_confirm(struct stream_reader *reader, const struct position *durable);

/* The source's timeline; known once a batch has come. */
uint32_t stream_reader_timeline(const struct stream_reader *reader);

/* Ends the thread, drops what is queued. ret_err: why it ended by itself (ERR_NONE: it did not).
 * *ret_needs_text: the next stream must carry text. */
void stream_reader_stop(struct stream_reader **reader, struct err *ret_err, bool *ret_needs_text);
