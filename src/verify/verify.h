/* `trunkline verify`: compares two databases, rows and definitions, at rest or beside an engine at
 * work. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/stop.h"
#include "conf/settings.h"

/* Compares all tables that the settings' patterns cover; the result goes to out, progress to
 * progress (a terminal, or NULL). stop ends it with ERR_STOP; it is also raised when it fails.
 * Nothing different, but not all settled, is an ERR_RETRY. An ERR_CONFIG before the first table
 * leaves out empty; every other end has its last words. */
bool verify_run(const struct settings *settings, struct stop *stop, FILE *out, FILE *progress,
                bool *ret_equal, struct err *err) MUST_USE;
