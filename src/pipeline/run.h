/* Running a pipeline: the engine thread, and the main thread that waits for signals beside it. */
#pragma once

#include "base/err.h"
#include "conf/settings.h"

/* Copies and follows until `until` is reached, a signal comes or something fails. Blocks; call it
 * from the main thread before any other thread exists (it blocks the signals it waits for).
 * Returns the exit code; progress goes to stderr, the position it stopped at to stdout. */
int run_pipeline(const struct settings *settings);
