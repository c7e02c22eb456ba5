/* The copy of large objects (--large-objects). */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

/* Copies all of them with owners, grants and comments, by transactions of the keeper's connection;
 * source is in the transaction that holds the snapshot. Does nothing when they were not
 * asked for, an earlier start has copied them, or the pipeline follows already. */
bool large_objects_copy(struct engine *engine, struct conn *source, struct err *err);

/* Removes those that an earlier attempt at this pipeline has made, by transactions of its own. */
bool large_objects_undo(struct engine *engine, struct err *err);
