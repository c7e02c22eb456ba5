/* Tables that come to the source while the pipeline follows: they are not followed before the next
 * start, and are named until then. Owner: control thread. */
#pragma once

#include "base/err.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

struct late;

struct late *late_new(const struct engine *engine);
void late_free(struct late **late); /* AUTO handler */

/* Looks when it is time (every sixth idle_position_interval, once the copy is over) and logs each
 * table that matches, that has changes in the WAL, and that is not published, once. */
bool late_look(struct late *late, struct conn *source, struct err *err);
