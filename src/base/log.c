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
#include "base/mem.h"

static atomic_int level_now = LOG_INFO;
static atomic_int format_now = LOG_LOGFMT;
static atomic_bool has_colours;
static _Thread_local const char *thread_name = "main";

static const struct {
    const char *name;
    const char *brief;  /* on the console */
    const char *colour; /* there, on a terminal: the number in its escape sequence */
} levels[] = {
    [LOG_TRACE] = {"trace", "TRC", "90"}, [LOG_DEBUG] = {"debug", "DBG", "36"},
    [LOG_INFO] = {"info", "INF", "32"},   [LOG_WARN] = {"warn", "WRN", "33"},
    [LOG_ERROR] = {"error", "ERR", "31"}, [LOG_FATAL] = {"fatal", "FTL", "31"},
    [LOG_PANIC] = {"panic", "PNC", "31"},
};

void log_setup(enum log_level level, enum log_format format)
{
    const char *no_colour = getenv("NO_COLOR");
    atomic_store(&has_colours, isatty(STDERR_FILENO) && !(no_colour && *no_colour));
    atomic_store(&level_now, (int)level);
    atomic_store(&format_now, (int)format);
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_now, (int)level);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load(&level_now);
}

bool log_shows(enum log_level level)
{
    return (int)level >= atomic_load(&level_now);
}

const char *log_level_name(enum log_level level)
{
    return levels[level].name;
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

static void put_logfmt(struct buf *out, enum log_level level, const char *when, const char *message,
                       const char *sqlstate)
{
    buf_fmt(out, "time=%s level=%s thread=%s msg=", when, levels[level].name, thread_name);
    put_quoted(out, message);
    if (sqlstate[0])
        buf_fmt(out, " sqlstate=%s", sqlstate);
}

static void put_json(struct buf *out, enum log_level level, const char *when, const char *message,
                     const char *sqlstate)
{
    json_t *line = json_pack("{s:s, s:s, s:s, s:s#}", "time", when, "level", levels[level].name,
                             "thread", thread_name, "msg", message, (int)strlen(message));
    if (line && sqlstate[0])
        (void)json_object_set_new(line, "sqlstate", json_string(sqlstate));
    char *text = line ? json_dumps(line, JSON_PRESERVE_ORDER | JSON_COMPACT) : NULL;
    buf_puts(out, text ? text : "{}");
    free(text);
    json_decref(line);
}

/* For people: the message before the fields; its further lines are indented. */
static void put_console(struct buf *out, enum log_level level, const char *when,
                        const char *message, const char *sqlstate)
{
    bool is_coloured = atomic_load(&has_colours);
    if (is_coloured)
        buf_fmt(out, "\033[90m%s\033[0m \033[%sm%s\033[0m ", when, levels[level].colour,
                levels[level].brief);
    else
        buf_fmt(out, "%s %s ", when, levels[level].brief);
    for (const char *c = message; *c; c++) {
        buf_putc(out, *c);
        if (*c == '\n')
            buf_puts(out, "    ");
    }
    buf_puts(out, is_coloured ? "\033[90m" : "");
    buf_fmt(out, " thread=%s", thread_name);
    if (sqlstate[0])
        buf_fmt(out, " sqlstate=%s", sqlstate);
    buf_puts(out, is_coloured ? "\033[0m" : "");
}

/* Names and keys of a database without an encoding may be no UTF-8. NULL: it is good as it is. */
static char *repaired(const char *message)
{
    json_t *json = json_string(message); /* refuses what is no UTF-8 */
    char *copy = json ? NULL : str_dup(message);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json_decref(json);
    return copy;
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
    AUTO(str_free) char *mended = repaired(message);
    message = mended ? mended : message;
    switch ((enum log_format)atomic_load(&format_now)) {
    case LOG_LOGFMT:
        put_logfmt(&out, level, when, message, sqlstate);
        break;
    case LOG_JSON:
        put_json(&out, level, when, message, sqlstate);
        break;
    case LOG_CONSOLE:
        put_console(&out, level, when, message, sqlstate);
        break;
    }
    buf_putc(&out, '\n');
    ssize_t written = write(STDERR_FILENO, out.data, out.len);
    (void)written; /* a closed stderr must not end the pipeline */
}

#define LOG_BODY(level)                       \
    if (!log_shows(level))                    \
        return;                               \
    char *text = NULL;                        \
    va_list args;                             \
    va_start(args, fmt);                      \
    if (vasprintf(&text, fmt, args) < 0)      \
        text = NULL;                          \
    va_end(args);                             \
    write_line(level, text ? text : fmt, ""); \
    free(text)

void log_trace(const char *fmt, ...)
{
    LOG_BODY(LOG_TRACE);
}

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
    if (log_shows(level == LOG_ERROR ? LOG_FATAL : level))
        write_line(level, err->text, err->sqlstate);
}
