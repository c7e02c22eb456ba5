/* Copiers: N threads that take parts from one shared queue and carry them from source to target. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"
#include "source/part.h"

/* How many the settings allow, capped by what is free on both servers, with a line in the log then.
 */
bool copiers_count(struct engine *engine, int *ret_count, struct err *err);

/* Copies all parts under the exported snapshot. Tables found changed since the snapshot are
 * reported through is_changed (one flag a table of tables, by index): their parts are to be copied
 * again under another snapshot. Waits for all copiers; on failure what is committed stays. */
bool copiers_run(struct engine *engine, const struct table_list *tables,
                 const struct part_list *parts, const char *snapshot, bool *is_changed,
                 struct err *err);
