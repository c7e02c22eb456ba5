/* Control: the thread that watches the slot on the source and measures the lag. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"

struct control;

/* Watches until control_stop(). When the slot holds back more WAL than max_slot_wal, it raises the
 * engine's hard stop. */
struct control *control_start(struct engine *engine);

/* ret_err: why the pipeline had to be stopped (ERR_NONE: it had not). */
void control_stop(struct control **control, struct err *ret_err);
