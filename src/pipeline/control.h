/* Control: the thread that watches the slot on the source, measures the lag, and keeps an idle slot
 * moving. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"

struct control;

/* Watches until control_stop(). When the slot holds back more WAL than max_slot_wal, it raises the
 * engine's hard stop. Every heartbeat_interval it writes a message into the source's WAL. */
struct control *control_start(struct engine *engine);

/* ret_err: why the pipeline had to be stopped (ERR_NONE: it had not). */
void control_stop(struct control **control, struct err *ret_err);
