/* The progress line. See progress.h. */
#include "pipeline/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

struct progress {
    const struct metrics *metrics;
    bool is_on;
    bool has_line;
    int64_t copy_ms; /* when the copy began to move rows; 0: not yet */
};

struct progress *progress_new(const struct settings *settings, const struct metrics *metrics)
{
    struct progress *progress = mem_alloc(sizeof(*progress));
    progress->metrics = metrics;
    progress->is_on = settings->progress == PROGRESS_ON ||
                      (settings->progress == PROGRESS_AUTO && isatty(STDERR_FILENO));
    return progress;
}

static void clear_line(struct progress *progress)
{
    if (progress->has_line)
        (void)fputs("\r\033[K", stderr);
    progress->has_line = false;
}

void progress_free(struct progress **progress)
{
    clear_line(*progress);
    free(*progress);
    *progress = NULL;
}

static uint64_t get(const struct progress *progress, enum metric metric)
{
    return metrics_get(progress->metrics, metric);
}

static void put_copy(struct progress *progress, struct buf *line)
{
    uint64_t bytes = get(progress, METRIC_COPIED_BYTES);
    uint64_t done = get(progress, METRIC_PARTS_DONE);
    uint64_t total = get(progress, METRIC_PARTS_TOTAL);
    if (!progress->copy_ms && bytes)
        progress->copy_ms = clock_ms();
    int64_t ms = progress->copy_ms ? MAX_OF(clock_ms() - progress->copy_ms, (int64_t)1) : 1;
    buf_fmt(line,
            "copying: %" PRIu64 "/%" PRIu64 " tables, %" PRIu64 "/%" PRIu64 " parts, %" PRIu64
            " rows, %.1f MB, %.1f MB/s",
            get(progress, METRIC_TABLES_DONE), get(progress, METRIC_TABLES_TOTAL), done, total,
            get(progress, METRIC_COPIED_ROWS), (double)bytes / 1e6,
            (double)bytes / 1e3 / (double)ms);
    if (done && done < total)
        buf_fmt(line, ", about %" PRId64 " s left",
                ms * (int64_t)(total - done) / (int64_t)done / 1000);
}

static void put_follow(const struct progress *progress, struct buf *line)
{
    buf_fmt(line,
            "following: %" PRIu64 " transactions, %" PRIu64 " changes, %" PRIu64 " bytes behind",
            get(progress, METRIC_TRANSACTIONS),
            get(progress, METRIC_INSERTS) + get(progress, METRIC_UPDATES) +
                get(progress, METRIC_DELETES) + get(progress, METRIC_TRUNCATES),
            get(progress, METRIC_LAG_BYTES));
}

void progress_show(struct progress *progress)
{
    AUTO(buf_release) struct buf line = BUF_INIT;
    if (!progress->is_on)
        return;
    switch ((enum metrics_phase)get(progress, METRIC_PHASE)) {
    case METRICS_COPYING:
        put_copy(progress, &line);
        break;
    case METRICS_CATCHING_UP:
    case METRICS_FOLLOWING:
        put_follow(progress, &line);
        break;
    case METRICS_STARTING:
    case METRICS_STOPPING:
    case METRICS_FAILED:
        return;
    }
    clear_line(progress);
    (void)fprintf(stderr, "%s", line.data);
    (void)fflush(stderr);
    progress->has_line = true;
}
