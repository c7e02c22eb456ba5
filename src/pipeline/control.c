/* The control thread. See control.h. Owns a connection to the source and, while the stream is
 * applied, one to the target. Keeps the sequences in step, too: the applier must not wait for them.
 *
 * An idle slot: what keepalives do, measured on PostgreSQL 15. The server sends one whenever it
 * waits and we have not confirmed all it has read, and answers the reader's status each second
 * also while it decodes. So confirmed_flush_lsn follows, within idle_position_interval, whatever is
 * written: in other databases, to tables outside the publication, and through 550 MB of such WAL
 * at a start. restart_lsn, which is what holds WAL back, follows at the next record of running
 * transactions, which the server's background writer makes every 15 s as long as something was
 * written. No case was found there in which a message moves what keepalives do not. What neither
 * moves is a restart_lsn behind which a transaction has begun that writes, in any database of the
 * cluster, and has not ended: status shows it as WAL held. heartbeat_interval is for what lies
 * between (proxies that swallow keepalives, servers that write such records late): the message is
 * an ordinary record of this database, so something was written, and both positions follow. */
#include "pipeline/control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pipeline/freshness.h"
#include "pipeline/late.h"
#include "pipeline/sequences.h"
#include "source/slot.h"
#include "source/stream.h"

enum {
    FIRST_MS = 250, /* a start, and what is done soon after, has the servers to itself */
    LOOK_MS = 1000,
    TARGET_CONNECT_MS = 2000,
    TARGET_RETRY_MS = 10000,
    LET_GO_MS = 10000,
    ENDED_MS = 100
};

static const char ADMIN_SHUTDOWN[] = "57P01";

/* The target may be locked or slow: the slot is watched on. */
#define TARGET_OPTIONS "-c statement_timeout=1000 -c synchronous_commit=off"

struct control {
    struct engine *engine;
    struct stop *stop;
    struct conn *source;
    struct conn *target;
    struct freshness freshness;
    struct late *late;
    struct sequences *sequences;
    int64_t sequences_ms;   /* when they were looked at last */
    char *sequences_failed; /* owned: why the last round failed; NULL: it did not */
    char *fresh_at;         /* as the keeper has it from us */
    int64_t target_lost_ms;
    int64_t ended_ms; /* when the source ended our session; 0: it has taken another since */
    int64_t beat_ms;  /* when the last heartbeat was sent */
    pthread_t thread;
    struct err verdict;
};

static bool connect_source(struct control *control, struct err *err)
{
    struct engine *engine = control->engine;
    AUTO(str_free) char *name = engine_name(engine, "control");
    struct conn_options options = {
        .url = engine->settings->source,
        .what = "source",
        .application_name = name,
        .extra_options = "-c synchronous_commit=local",
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
                           " restart_lsn)::int8, pg_catalog.pg_current_wal_lsn(),"
                           " pg_catalog.clock_timestamp(), " LSN_END_SQL
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
    log_trace("the slot holds back %" PRId64 " bytes of WAL, the target is %" PRIu64
              " bytes behind",
              *ret_held, metrics_get(engine->metrics, METRIC_LAG_BYTES));
    /* the time was read before the end: all that had committed by then lies before it */
    freshness_note(&control->freshness, rows_lsn(rows, 0, 3), rows_text(rows, 0, 2));
    return true;
}

/* --- a source that shuts down --- */

/* It ends sessions (so does an administrator), then takes no more of them; but its walsenders may
 * go on for as long as we have not confirmed everything, and it with them. */
static void note_ended(struct control *control, const struct err *err)
{
    if (strcmp(err->sqlstate, ADMIN_SHUTDOWN) == 0)
        control->ended_ms = clock_ms();
}

static bool watch_stay(struct control *control, struct err *err)
{
    atomic_int *stay = &control->engine->stay;
    if (connect_source(control, err)) {
        control->ended_ms = 0;
        atomic_store(stay, SOURCE_STAYS);
        return true;
    }
    if (!control->ended_ms || err->kind != ERR_RETRY)
        return false;
    bool is_over = clock_ms() - control->ended_ms >= LET_GO_MS;
    atomic_store(stay, is_over ? SOURCE_LET_GO : SOURCE_LEAVES);
    if (is_over)
        control->ended_ms = 0; /* once */
    return false;
}

/* --- the heartbeat --- */

static bool beat(struct control *control, struct err *err)
{
    int64_t interval = control->engine->settings->heartbeat_interval_ms;
    if (!interval || clock_ms() - control->beat_ms < interval)
        return true;
    control->beat_ms = clock_ms();
    /* not transactional: no transaction id is used up, and nothing waits for a flush */
    return conn_execf(control->source, err,
                      "SELECT pg_catalog.pg_logical_emit_message(false, %L, '')",
                      control->engine->settings->program) ||
           err_wrap(err, "could not write a heartbeat into the source's WAL");
}

static int wait_ms(const struct control *control)
{
    int64_t interval = control->engine->settings->heartbeat_interval_ms;
    int64_t left = interval ? control->beat_ms + interval - clock_ms() : LOOK_MS;
    if (control->ended_ms && atomic_load(&control->engine->stay) == SOURCE_STAYS)
        return ENDED_MS;
    int64_t sync = control->engine->settings->sequence_sync_interval_ms;
    if (sync)
        left = MIN_OF(left, sync);
    return (int)MAX_OF(MIN_OF(left, (int64_t)LOOK_MS), (int64_t)1);
}

/* --- how fresh the target is --- */

static bool connect_target(struct control *control, struct err *err)
{
    struct engine *engine = control->engine;
    AUTO(str_free) char *name = engine_name(engine, "control");
    struct conn_options options = {
        .url = engine->settings->target,
        .what = "target",
        .application_name = name,
        .extra_options = TARGET_OPTIONS,
        .connect_timeout_ms = MIN_OF((int)engine->settings->connect_timeout_ms, TARGET_CONNECT_MS),
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = control->stop,
    };
    return control->target || conn_open(&options, &control->target, err);
}

/* Tells the keeper, for status. Nothing depends on it: what fails is tried again later. */
static void tell_fresh(struct control *control)
{
    struct engine *engine = control->engine;
    struct err err = {0};
    uint64_t durable = atomic_load(&engine->durable);
    const char *at = durable ? freshness_ask(&control->freshness, durable) : NULL;
    if (!at || (control->fresh_at && strcmp(at, control->fresh_at) == 0) ||
        (control->target_lost_ms && clock_ms() - control->target_lost_ms < TARGET_RETRY_MS))
        return;
    if (connect_target(control, &err) &&
        keeper_set_fresh(control->target, &engine->ref, at, &err)) {
        control->target_lost_ms = 0;
        str_set(&control->fresh_at, str_dup(at));
        return;
    }
    conn_free(&control->target);
    control->target_lost_ms = clock_ms();
    if (err.kind != ERR_STOP)
        log_err(LOG_DEBUG, &err);
}

/* --- sequences --- */

static bool sync_sequences(struct control *control, struct err *err)
{
    return connect_target(control, err) &&
           sequences_round(control->sequences, control->source, control->target, err);
}

/* What fails is tried again with the next round, and told when it is news: the end of a run sets
 * all of them. */
static void tend_sequences(struct control *control)
{
    struct engine *engine = control->engine;
    int64_t interval = engine->settings->sequence_sync_interval_ms;
    struct err err = {0};
    if (!interval || clock_ms() - control->sequences_ms < interval ||
        metrics_get(engine->metrics, METRIC_PHASE) != METRICS_FOLLOWING)
        return;
    control->sequences_ms = clock_ms();
    if (sync_sequences(control, &err)) {
        str_free(&control->sequences_failed);
        return;
    }
    note_ended(control, &err);
    conn_free(&control->source); /* whatever state they are in */
    conn_free(&control->target);
    metrics_add(engine->metrics, METRIC_SEQUENCES_FAILED, 1);
    bool is_news = !control->sequences_failed || strcmp(control->sequences_failed, err.text) != 0;
    if (err.kind == ERR_STOP || !is_news)
        return;
    str_set(&control->sequences_failed, str_dup(err.text));
    (void)err_wrap(&err, "sequences are not in step");
    log_err(LOG_WARN, &err);
}

/* --- the thread --- */

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
    for (int ms = FIRST_MS; control->verdict.kind == ERR_NONE && !stop_wait(control->stop, ms);
         ms = wait_ms(control)) {
        struct err err = {0};
        int64_t held = 0;
        if (!watch_stay(control, &err) || !look(control, &held, &err) || !beat(control, &err) ||
            !late_look(control->late, control->source, &err)) {
            note_ended(control, &err);
            conn_free(&control->source); /* the stream reports a lost source; here we try again */
            if (err.kind != ERR_STOP)
                log_err(LOG_DEBUG, &err);
        }
        if (bound && held > bound)
            bound_exceeded(control, held);
        else
            tell_fresh(control);
        if (control->source)
            tend_sequences(control);
    }
    conn_free(&control->source);
    conn_free(&control->target);
    return NULL;
}

struct control *control_start(struct engine *engine)
{
    struct control *control = mem_alloc(sizeof(*control));
    control->engine = engine;
    control->stop = stop_new();
    control->beat_ms = clock_ms();
    control->sequences_ms = clock_ms();
    control->late = late_new(engine);
    control->sequences = sequences_new(engine);
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
    late_free(&c->late);
    sequences_free(&c->sequences);
    free(c->sequences_failed);
    free(c->fresh_at);
    free(c);
    *control = NULL;
}
