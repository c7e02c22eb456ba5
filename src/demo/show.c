/* What the demo tells while it works. stdout is left to the result. */
#include "demo/show.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { LINE_INTERVAL_MS = 2000, MIN_COLUMNS = 20, DEFAULT_COLUMNS = 80 };

void show_init(struct show *show, enum progress_mode mode)
{
    *show = (struct show){.start_ms = clock_ms(), .mode = mode};
    show->is_terminal = isatty(STDERR_FILENO) == 1;
}

double show_seconds(const struct show *show)
{
    return (double)(clock_ms() - show->start_ms) / 1000;
}

static size_t columns(void)
{
    struct winsize size = {0};
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > MIN_COLUMNS;
    return is_known ? size.ws_col : DEFAULT_COLUMNS;
}

static void print_line(struct show *show, const char *fmt, va_list args, bool stays)
{
    char text[512];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    AUTO(buf_release) struct buf line = BUF_INIT;
    buf_fmt(&line, "%6.1f s  %s", show_seconds(show), text);
    if (show->is_terminal && !stays && line.len >= columns())
        line.data[columns() - 1] = '\0';
    (void)fprintf(stderr, "%s%s", buf_text(&line), stays || !show->is_terminal ? "\n" : "");
    (void)fflush(stderr);
}

void show_clear(struct show *show)
{
    if (show->has_line)
        (void)fputs("\r\033[K", stderr);
    show->has_line = false;
}

void show_step(struct show *show, const char *fmt, ...)
{
    va_list args;
    show_clear(show);
    va_start(args, fmt);
    print_line(show, fmt, args, true);
    va_end(args);
}

void show_progress(struct show *show, const char *fmt, ...)
{
    bool is_due = show->is_terminal || clock_ms() - show->progress_ms >= LINE_INTERVAL_MS;
    if (show->mode == PROGRESS_OFF || !is_due)
        return;
    va_list args;
    show_clear(show);
    va_start(args, fmt);
    print_line(show, fmt, args, false);
    va_end(args);
    show->progress_ms = clock_ms();
    show->has_line = show->is_terminal;
}
