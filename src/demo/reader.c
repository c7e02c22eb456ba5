/* A reader on the target, while changes are applied to it. */
#include "demo/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "demo/shop.h"

enum { INTERVAL_MS = 100 };

/* Shared: atomics; err is written before has_failed and read after it. */
struct reader {
    const struct cluster *target; /* borrowed */
    struct stop *stop;            /* owned */
    pthread_t thread;
    atomic_int_fast64_t checks;
    struct err err;
    atomic_bool has_failed;
    bool is_started;
};

static bool read_until_stopped(struct reader *reader, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    if (!cluster_connect(reader->target, "reader", NULL, NULL, &conn, err))
        return false;
    do {
        if (!shop_check(conn, err))
            return false;
        atomic_fetch_add(&reader->checks, 1);
    } while (!stop_wait(reader->stop, INTERVAL_MS));
    return true;
}

static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    log_thread("reader");
    if (!read_until_stopped(reader, &reader->err)) {
        (void)err_wrap(&reader->err, "the reader on the target");
        atomic_store(&reader->has_failed, true);
    }
    return NULL;
}

bool reader_start(const struct cluster *target, struct reader **ret_reader, struct err *err)
{
    AUTO(reader_free) struct reader *reader = mem_alloc(sizeof(*reader));
    reader->target = target;
    reader->stop = stop_new();
    reader->is_started = pthread_create(&reader->thread, NULL, reader_main, reader) == 0;
    if (!reader->is_started)
        return err_set(err, ERR_FATAL, "could not start a thread");
    *ret_reader = TAKE(reader);
    return true;
}

void reader_end(struct reader *reader)
{
    stop_raise(reader->stop);
    if (reader->is_started)
        (void)pthread_join(reader->thread, NULL);
    reader->is_started = false;
}

void reader_free(struct reader **reader)
{
    if (!*reader)
        return;
    reader_end(*reader);
    stop_free(&(*reader)->stop);
    free(*reader);
    *reader = NULL;
}

int64_t reader_checks(const struct reader *reader)
{
    return atomic_load(&reader->checks);
}

bool reader_check(const struct reader *reader, struct err *err)
{
    return !atomic_load(&reader->has_failed) || err_copy(err, &reader->err);
}
