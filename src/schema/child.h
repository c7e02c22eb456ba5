/* Child processes: pg_dump and pg_restore, run and waited for. Owner: the thread that calls; the
 * child dies with that thread, however it ends. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/stop.h"

/* Where the child finds child_spec.secret, as a file only it can read and that no disk holds. */
#define CHILD_SECRET_PATH "/proc/self/fd/3"

struct child_spec {
    const char *const *argv;        /* argv[0]: the program's path; ends with NULL */
    const char *const *environment; /* "NAME=value" to set, "NAME" to unset; ends with NULL; or
                                       NULL: as ours */
    const char *secret;             /* what CHILD_SECRET_PATH holds, or NULL */
    const struct stop *stop;        /* when raised: the child is ended, ERR_STOP */
};

/* Runs the child to its end. What it writes on stdout is appended to output (NULL: dropped). A
 * failure's class and text come from what it wrote on stderr. */
bool child_run(const struct child_spec *spec, struct buf *output, struct err *err);

/* Makes an error of what a PostgreSQL tool wrote on stderr: the error, the first line of
 * the command and the hint, but neither the detail (it holds rows' values) nor the rest of the
 * command (options may hold passwords). Always returns false. */
bool child_fail(const char *program, const char *text, struct err *err);
