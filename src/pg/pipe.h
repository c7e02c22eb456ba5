/* Pipeline mode: many commands on their way before the first answer is read.
 * Answers come in the order of the commands. After an error the server skips what follows up to
 * the next sync; pipe_next() reports each as skipped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

/* A table has 1,600 columns at most; an UPDATE by key or image needs them twice. */
enum { PIPE_PARAMS_MAX = 3200 };

bool pipe_enter(struct conn *conn, struct err *err);
bool pipe_leave(struct conn *conn, struct err *err);

/* The parameters of one execution, in libpq's form: data NULL is SQL's NULL; format 1 is binary;
 * text data is a C string. Borrowed for the call. */
struct pipe_params {
    const char *data[PIPE_PARAMS_MAX];
    int lengths[PIPE_PARAMS_MAX];
    int formats[PIPE_PARAMS_MAX];
    size_t count;
};

/* Each of these is one command with one answer. */
bool pipe_sql(struct conn *conn, const char *sql, struct err *err);
bool pipe_sql_params(struct conn *conn, const char *sql, int count, const char *const *params,
                     struct err *err);
bool pipe_prepare(struct conn *conn, const char *name, const char *sql, struct err *err);
bool pipe_execute(struct conn *conn, const char *name, const struct pipe_params *params,
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

/* Reads the answer of a sync. What has failed at the end of the pipeline's implicit transaction (a
 * check that waits for it) comes as PIPE_FAILED, else PIPE_SYNC. */
bool pipe_next_sync(struct conn *conn, struct pipe_answer *ret_answer, struct err *err);

/* Answers not read yet. */
size_t pipe_in_flight(const struct conn *conn);
