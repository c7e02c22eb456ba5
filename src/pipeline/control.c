/* The control thread. See control.h. Owns one connection to the source. */
#include "pipeline/control.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "source/slot.h"

enum { LOOK_MS = 1000 };

struct control {
    struct engine *engine;
    struct stop *stop;
    struct conn *source;
    pthread_t thread;
    struct err verdict;
};

static bool connect(struct control *control, struct err *err)
{
    struct engine *engine = control->engine;
    AUTO(str_free) char *name = engine_name(engine, "control");
    struct conn_options options = {
        .url = engine->settings->source,
        .what = "source",
        .application_name = name,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = control->stop,
    };
    return control->source || conn_open(&options, &control->source, err);
}

static bool look(struct control *control, int64_t *ret_held, struct err *err)
{
    struct engine *engine = control->engine;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {engine->slot};
    if (!conn_query_params(control->source,
                           "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(),"
                           " restart_lsn)::int8, pg_catalog.pg_current_wal_lsn()"
                           " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
                           1, params, &rows, err))
        return false;
    if (rows_count(rows) == 0)
        return true;
    *ret_held = rows_int(rows, 0, 0);
    uint64_t end = rows_lsn(rows, 0, 1);
    uint64_t durable = atomic_load(&engine->durable);
    metrics_set(engine->metrics, METRIC_SLOT_WAL_BYTES, (uint64_t)MAX_OF(*ret_held, (int64_t)0));
    metrics_set(engine->metrics, METRIC_LAG_BYTES, durable && end > durable ? end - durable : 0);
    return true;
}

static void bound_exceeded(struct control *control, int64_t held)
{
    struct engine *engine = control->engine;
    bool drops = engine->settings->max_slot_wal_action == SLOT_WAL_DROP;
    (void)err_set(&control->verdict, ERR_FATAL,
                  "slot \"%s\" holds back %" PRId64 " bytes of WAL on the source, more than "
                  "max_slot_wal (%" PRId64 "): the pipeline is stopped%s",
                  engine->slot, held, engine->settings->max_slot_wal,
                  drops ? " and the slot dropped" : "");
    (void)err_hint(&control->verdict, "%s",
                   drops ? "remove the pipeline with tear-down, empty the target and copy again"
                         : "make the target faster or raise max_slot_wal, then start again; the "
                           "slot still holds the WAL: drop it with tear-down if the disk is short");
    atomic_store(&engine->is_over_bound, true);
    stop_raise(engine->soft);
    stop_raise(engine->hard);
}

static void *control_main(void *arg)
{
    struct control *control = arg;
    int64_t bound = control->engine->settings->max_slot_wal;
    log_thread("control");
    do {
        struct err err = {0};
        int64_t held = 0;
        if (!connect(control, &err) || !look(control, &held, &err))
            conn_free(&control->source); /* the stream reports a lost source; here we try again */
        else if (bound && held > bound)
            bound_exceeded(control, held);
        else
            log_trace("the slot holds back %" PRId64 " bytes of WAL, the target is %" PRIu64
                      " bytes behind",
                      held, metrics_get(control->engine->metrics, METRIC_LAG_BYTES));
    } while (control->verdict.kind == ERR_NONE && !stop_wait(control->stop, LOOK_MS));
    conn_free(&control->source);
    return NULL;
}

struct control *control_start(struct engine *engine)
{
    struct control *control = mem_alloc(sizeof(*control));
    control->engine = engine;
    control->stop = stop_new();
    if (pthread_create(&control->thread, NULL, control_main, control) != 0)
        abort();
    return control;
}

void control_stop(struct control **control, struct err *ret_err)
{
    struct control *c = *control;
    if (!c)
        return;
    stop_raise(c->stop);
    (void)pthread_join(c->thread, NULL);
    (void)err_copy(ret_err, &c->verdict);
    stop_free(&c->stop);
    free(c);
    *control = NULL;
}
