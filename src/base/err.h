/* The error value: a class that decides what happens next, and a text for the user. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

enum err_kind {
    ERR_NONE,
    ERR_RETRY,  /* connection lost, timeout: back off, reconnect */
    ERR_DATA,   /* this row or message cannot be handled: policy decides */
    ERR_CONFIG, /* the user must change something: stop, exit 2 */
    ERR_FATAL,  /* stop the pipeline, exit 1 */
    ERR_STOP,   /* shutdown was asked for: not a failure */
};

struct err {
    enum err_kind kind;
    char sqlstate[6];
    int64_t row;     /* of a COPY: the one that the server could not take, from 1; 0: not said */
    char text[1018]; /* "context: context: cause", then an optional "; hint: …" */
};

/* Sets kind and text; sqlstate becomes empty. Always returns false, for `return err_set(…)`. */
bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);

/* Puts "context: " before the text that err holds. Always returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/* Appends "; hint: …", what the user can do. Always returns false. */
bool err_hint(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/* Replaces what err holds by a copy of from. Always returns false. */
bool err_copy(struct err *err, const struct err *from);

/* The process exit code that an error of this kind ends with: 1 failed, 2 configuration, 3 stopped.
 */
int err_exit_code(const struct err *err);
