/* Tables that a source 14 publishes without a word. From 15 on the stream describes a table when it
 * brings its first change after it has become part of a published one. The walsender of 14 keeps
 * to what it knew when it first met the table, and leaves its changes out until it is started
 * again: so we look. Owner: engine thread. */
#pragma once

#include "base/err.h"
#include "keeper/keeper.h"
#include "pipeline/engine.h"

/* Whether the source is one to be looked at. */
bool attached_are_silent(const struct engine *engine);

/* Looks for published tables that are not in known and were not judged before. One is found:
 * engine->newcomer is set, and false with ERR_RETRY, as for a stranger in the stream. */
bool attached_look(struct engine *engine, const struct keeper_tables *known, struct err *err);
