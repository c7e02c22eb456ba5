/* snapshot --resumable: a pipeline that ends with its copy. Owner: engine thread.
 *
 * It copies as a pipeline does, over kills and lost snapshots; the stream leads all tables to the
 * end position of the last one. Then nothing of it is left but the tables. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"

/* Refuses settings that the stream could not keep up (ERR_CONFIG). */
bool resumable_check(const struct settings *settings, struct err *err);

/* What an interrupted one leaves behind, for the log. */
void resumable_tell(const struct engine *engine);

/* Whether it is one, and its copy is complete. */
bool resumable_is_complete(const struct engine *engine);

/* Removes slot, publication and state, the state last: what is cut short is done by the next
 * start. */
bool resumable_end(struct engine *engine, struct err *err);
