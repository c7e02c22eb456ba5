/* Sequences: brought to the source's values from time to time, and exactly at the end.
 *
 * They stand outside every snapshot and are not in the stream: their values are those of now.
 * Invariant: the target's next value never goes backwards (of a descending sequence: forwards),
 * but where the source's own wraps (CYCLE), whose value is taken as it is. Owner: one thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

struct sequences;

/* Those without an owner, and those that a selected table owns or takes its values from; as far as
 * the target has a sequence of that name. */
struct sequences *sequences_new(const struct engine *engine);
void sequences_free(struct sequences **sequences); /* AUTO handler */

/* One round: the sequences that have moved, by one query for all values on either side. What a
 * missing privilege or the target's bounds keep back is told once, and left out. Fails when
 * somebody has one locked: the connections then keep their short lock_timeout. */
bool sequences_round(struct sequences *sequences, struct conn *source, struct conn *target,
                     struct err *err);

/* The same to the last bit: also those that were never used. A sequence may come, go or get another
 * name meanwhile; one that is locked is waited for. The source's connection is of no other use
 * then: it keeps a short lock_timeout. */
bool sequences_finish(struct sequences *sequences, struct conn *source, struct conn *target,
                      struct err *err);
