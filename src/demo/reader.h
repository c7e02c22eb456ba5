/* A reader on the target: checks the shop's sums again and again, in a thread of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "demo/cluster.h"

struct reader;

/* From a moment on at which the target is consistent. target is borrowed and outlives it. */
bool reader_start(const struct cluster *target, struct reader **ret_reader,
                  struct err *err) MUST_USE;
void reader_end(struct reader *reader);   /* waits for the check in hand */
void reader_free(struct reader **reader); /* AUTO handler: ends it first */

int64_t reader_checks(const struct reader *reader);

/* False: a sum was wrong, or the reader could not read. */
bool reader_check(const struct reader *reader, struct err *err) MUST_USE;
