/* Whether the source is still the one that earlier attempts of the copy have read: it may have
 * restarted or failed over since. Owner: engine thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

/* Before an attempt goes on: the slot must still be there, or what the stream was to bring is lost
 * (ERR_CONFIG). Tables whose copies hold what a promoted source never had start again. source:
 * outside the copy's snapshot. */
bool history_follow(struct engine *engine, struct conn *source, struct err *err);

/* Whether the connection leads to the timeline that history_follow() has seen; else ERR_RETRY: the
 * source is failing over just now. */
bool history_is_same(const struct engine *engine, struct conn *source, struct err *err);

/* The timeline that the connection leads to. */
bool history_timeline(struct conn *source, uint32_t *ret_timeline, struct err *err);

/* Until all that is in the source's WAL now is on its disk: what is seen under a snapshot must not
 * be lost with a crash of the source when it is copied already. */
bool history_flush(struct conn *source, struct err *err);
