/* Four sessions that write to the source: the threads. What they write: demo_mix.c. */
#include "demo/writers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "demo/mix.h"

/* Owner: its thread, but for the counters. */
struct writer {
    struct writers *all; /* borrowed */
    struct mix mix;
    pthread_t thread;
    atomic_int_fast64_t commits;
    atomic_int_fast64_t rollbacks;
    struct err err; /* read by others after has_failed only */
    atomic_bool has_failed;
    bool is_started;
};

struct writers {
    const struct cluster *source; /* borrowed */
    struct stop *stop;            /* owned: ends the threads */
    atomic_int pace_us;           /* between two transactions of one writer; 0: none */
    struct writer items[WRITER_COUNT];
};

/* Two sessions in each other's way: the server ends one of them, which an application has to expect
 * and tries again. */
static bool is_in_the_way(const struct err *err)
{
    return strcmp(err->sqlstate, "40P01") == 0 || strcmp(err->sqlstate, "40001") == 0;
}

static bool write_once(struct writer *writer, struct conn *conn, struct err *err)
{
    bool is_rollback = false;
    AUTO(str_free) char *sql = mix_next(&writer->mix, &is_rollback);
    AUTO(str_free) char *has_written = NULL;
    if (!conn_text(conn, sql, &has_written, err)) {
        struct err later;
        return is_in_the_way(err) && conn_exec(conn, "ROLLBACK", &later);
    }
    if (is_rollback)
        atomic_fetch_add(&writer->rollbacks, 1);
    else if (has_written && strcmp(has_written, "t") == 0)
        atomic_fetch_add(&writer->commits, 1);
    return true;
}

/* Whole milliseconds are waited for, so that what is due in the meantime comes in a burst. */
static void keep_pace(const struct writer *writer, int64_t *due_us)
{
    int pace_us = atomic_load(&writer->all->pace_us);
    int64_t now = clock_us();
    *due_us = pace_us ? MAX_OF(*due_us + pace_us, now - 100000) : now;
    if (*due_us - now >= 1000)
        (void)stop_wait(writer->all->stop, (int)((*due_us - now) / 1000));
}

static bool write_until_stopped(struct writer *writer, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    const struct writers *all = writer->all;
    if (!cluster_connect(all->source, "writer", "-c synchronous_commit=off", NULL, &conn, err))
        return false;
    int64_t due_us = clock_us();
    while (!stop_raised(all->stop)) {
        if (!write_once(writer, conn, err))
            return false;
        keep_pace(writer, &due_us);
    }
    return true;
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    log_thread("writer");
    if (!write_until_stopped(writer, &writer->err)) {
        (void)err_wrap(&writer->err, "a writing session");
        atomic_store(&writer->has_failed, true);
    }
    return NULL;
}

bool writers_start(const struct cluster *source, struct writers **ret_writers, struct err *err)
{
    AUTO(writers_free) struct writers *writers = mem_alloc(sizeof(*writers));
    writers->source = source;
    writers->stop = stop_new();
    for (int i = 0; i < WRITER_COUNT; i++) {
        struct writer *writer = &writers->items[i];
        writer->all = writers;
        mix_init(&writer->mix, i);
        writer->is_started = pthread_create(&writer->thread, NULL, writer_main, writer) == 0;
        if (!writer->is_started)
            return err_set(err, ERR_FATAL, "could not start a thread");
    }
    *ret_writers = TAKE(writers);
    return true;
}

void writers_end(struct writers *writers)
{
    stop_raise(writers->stop);
    for (int i = 0; i < WRITER_COUNT; i++) {
        if (writers->items[i].is_started)
            (void)pthread_join(writers->items[i].thread, NULL);
        writers->items[i].is_started = false;
    }
}

void writers_free(struct writers **writers)
{
    if (!*writers)
        return;
    writers_end(*writers);
    stop_free(&(*writers)->stop);
    free(*writers);
    *writers = NULL;
}

void writers_pace(struct writers *writers, int per_second)
{
    atomic_store(&writers->pace_us, per_second ? 1000000 * WRITER_COUNT / per_second : 0);
}

int64_t writers_commits(const struct writers *writers)
{
    int64_t sum = 0;
    for (int i = 0; i < WRITER_COUNT; i++)
        sum += atomic_load(&writers->items[i].commits);
    return sum;
}

int64_t writers_rollbacks(const struct writers *writers)
{
    int64_t sum = 0;
    for (int i = 0; i < WRITER_COUNT; i++)
        sum += atomic_load(&writers->items[i].rollbacks);
    return sum;
}

bool writers_check(struct writers *writers, struct err *err)
{
    for (int i = 0; i < WRITER_COUNT; i++)
        if (atomic_load(&writers->items[i].has_failed))
            return err_copy(err, &writers->items[i].err);
    return true;
}
