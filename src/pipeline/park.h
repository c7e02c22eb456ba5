/* Parking tables: with on_apply_error = park a change that cannot be applied takes its table out of
 * the stream, and the others go on. Engine thread; invariant: see keeper/park.h. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"

/* Whether the failed session ended by a table's fault that may be parked. Not before the copy is
 * complete: foreign keys that are still to come could not be made. A table that could not be copied
 * anew is parked already, and is recorded as no more than that, also where the pipeline stops. */
bool park_may(const struct engine *engine);

/* Parks the table of engine->failure, and says so with the session's error. False: it could not be
 * recorded, or is none of the keeper's (err stays what it was). */
bool park_failed(struct engine *engine, struct err *err);

/* Sets the gauge and names the parked tables in the log, when their number is news. True. */
bool park_tell(struct engine *engine, const struct keeper_tables *tables);
