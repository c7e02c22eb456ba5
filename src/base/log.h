/* The log: one line a message on stderr, logfmt or JSON. Never a row's values, never a password.
 * Only thread entries (*_main) and commands log; everything below returns an error. */
#pragma once

#include "base/err.h"
#include "base/macros.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);

/* The word that stands in "thread=" of this thread's lines. text is a constant. */
void log_thread(const char *text);

void log_debug(const char *fmt, ...) PRINTF(1, 2);
void log_info(const char *fmt, ...) PRINTF(1, 2);
void log_warn(const char *fmt, ...) PRINTF(1, 2);
void log_error(const char *fmt, ...) PRINTF(1, 2);

/* Logs an error value with its class and SQLSTATE. */
void log_err(enum log_level level, const struct err *err);
