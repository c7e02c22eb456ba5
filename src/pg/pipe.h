/* Pipeline mode: many commands on their way before the first answer is read.
 * Answers come in the order of the commands. After an error the server skips what follows up to
 * the next sync; pipe_next() reports each as skipped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "change/value.h"
#include "pg/conn.h"

bool pipe_enter(struct conn *conn, struct err *err);
bool pipe_leave(struct conn *conn, struct err *err);

/* Each of these is one command with one answer. Text values must have a NUL behind their len
 * bytes (libpq takes text parameters as C strings). */
bool pipe_sql(struct conn *conn, const char *sql, struct err *err);
bool pipe_sql_params(struct conn *conn, const char *sql, int count, const char *const *params,
                     struct err *err);
bool pipe_prepare(struct conn *conn, const char *name, const char *sql, struct err *err);
bool pipe_execute(struct conn *conn, const char *name, size_t count, const struct value *values,
                  struct err *err);

/* Asks the server to send its answers now. */
bool pipe_flush(struct conn *conn, struct err *err);

/* Ends the pipeline's implicit unit; one answer of its own. */
bool pipe_sync(struct conn *conn, struct err *err);

enum pipe_kind { PIPE_DONE, PIPE_FAILED, PIPE_SKIPPED, PIPE_SYNC };

struct pipe_answer {
    enum pipe_kind kind;
    int64_t affected;
    char first[64];  /* first column of the first row, when the command returned one */
    struct err fail; /* PIPE_FAILED: as from any query */
};

/* Reads the next answer, waiting for it. False only when the connection is lost or stop raised. */
bool pipe_next(struct conn *conn, struct pipe_answer *ret_answer, struct err *err);

/* Answers not read yet. */
size_t pipe_in_flight(const struct conn *conn);
