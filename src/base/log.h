/* The log: one line a message on stderr: logfmt, JSON, or for people. Never a row's values, never a
 * password. Only thread entries (*_main) and commands log; everything below returns an error. */
#pragma once

#include "base/err.h"
#include "base/macros.h"

/* The order of the choices in the table of settings. Nothing is logged as fatal or panic: as a
 * bound, fatal lets through only the error that ends the program, and panic nothing. */
enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL, LOG_PANIC };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_CONSOLE };

/* LOG_CONSOLE is coloured when stderr is a terminal and NO_COLOR is not set. */
void log_setup(enum log_level level, enum log_format format);

/* Any thread, at any time. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Whether a line of that level would be written: for texts that cost something to make. */
bool log_shows(enum log_level level);

/* "debug". A constant. */
const char *log_level_name(enum log_level level);

/* The word that stands in "thread=" of this thread's lines. text is a constant. */
void log_thread(const char *text);

void log_trace(const char *fmt, ...) PRINTF(1, 2);
void log_debug(const char *fmt, ...) PRINTF(1, 2);
void log_info(const char *fmt, ...) PRINTF(1, 2);
void log_warn(const char *fmt, ...) PRINTF(1, 2);
void log_error(const char *fmt, ...) PRINTF(1, 2);

/* Logs an error value with its SQLSTATE. At LOG_ERROR it is what ends the program: such a line is
 * left out only beyond fatal. */
void log_err(enum log_level level, const struct err *err);
