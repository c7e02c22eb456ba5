/* Log lines on stderr, each written by one write() so that threads do not mix. See log.h. */
#include "base/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

static atomic_int level_now = LOG_INFO;
static atomic_int format_now = LOG_LOGFMT;
static _Thread_local const char *thread_name = "main";

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&level_now, (int)level);
    atomic_store(&format_now, (int)format);
}

void log_thread(const char *text)
{
    thread_name = text;
}

static void put_quoted(struct buf *out, const char *text)
{
    buf_putc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_putc(out, '\\');
        if (*c == '\n')
            buf_puts(out, "\\n");
        else
            buf_putc(out, *c);
    }
    buf_putc(out, '"');
}

static void write_line(enum log_level level, const char *message, const char *sqlstate)
{
    struct timespec ts;
    struct tm tm;
    char when[40];
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t used = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(when + used, sizeof(when) - used, ".%03ldZ", ts.tv_nsec / 1000000);

    AUTO(buf_release) struct buf out = BUF_INIT;
    if (atomic_load(&format_now) == LOG_JSON) {
        json_t *line = json_pack("{s:s, s:s, s:s, s:s#}", "time", when, "level", level_names[level],
                                 "thread", thread_name, "msg", message, (int)strlen(message));
        if (line && sqlstate[0])
            (void)json_object_set_new(line, "sqlstate", json_string(sqlstate));
        char *text = line ? json_dumps(line, JSON_PRESERVE_ORDER | JSON_COMPACT) : NULL;
        buf_puts(&out, text ? text : "{}");
        free(text);
        json_decref(line);
    } else {
        buf_fmt(&out, "time=%s level=%s thread=%s msg=", when, level_names[level], thread_name);
        put_quoted(&out, message);
        if (sqlstate[0])
            buf_fmt(&out, " sqlstate=%s", sqlstate);
    }
    buf_putc(&out, '\n');
    ssize_t written = write(STDERR_FILENO, out.data, out.len);
    (void)written; /* a closed stderr must not end the pipeline */
}

#define LOG_BODY(level)                         \
    if ((int)(level) < atomic_load(&level_now)) \
        return;                                 \
    char *text = NULL;                          \
    va_list args;                               \
    va_start(args, fmt);                        \
    if (vasprintf(&text, fmt, args) < 0)        \
        text = NULL;                            \
    va_end(args);                               \
    write_line(level, text ? text : fmt, "");   \
    free(text)

void log_debug(const char *fmt, ...)
{
    LOG_BODY(LOG_DEBUG);
}

void log_info(const char *fmt, ...)
{
    LOG_BODY(LOG_INFO);
}

void log_warn(const char *fmt, ...)
{
    LOG_BODY(LOG_WARN);
}

void log_error(const char *fmt, ...)
{
    LOG_BODY(LOG_ERROR);
}

void log_err(enum log_level level, const struct err *err)
{
    if ((int)level >= atomic_load(&level_now))
        write_line(level, err->text, err->sqlstate);
}
