/* Copier threads. See copier.h. Each owns one source and one target connection; parts come in by
 * a queue, what became of them goes out by another. The part's rows and record are one target
 * transaction, so a copier may die anywhere. */
#include "pipeline/copier.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "pg/copy.h"
#include "pipeline/history.h"
#include "pipeline/rate.h"
#include "target/postgres/postgres.h"

enum { WRITE_BYTES = 128 * 1024, SPARE_CONNECTIONS = 4, COPIERS_MAX = 64 };

/* What a copier reports: a part's outcome, or (part NULL) its own end. */
struct report {
    const struct part *part;
    bool is_changed;
    int64_t rows;
    struct err err; /* kind ERR_NONE: good */
};

struct crew { /* shared by the copiers of one run: queues and immutable values */
    struct engine *engine;
    const char *snapshot;
    struct queue *parts;
    struct queue *reports;
    struct rate *rate; /* shared by lock; NULL: no bound */
};

struct copier {
    struct crew *crew;
    struct conn *source;
    struct target *target;
    struct buf rows; /* gathered, to write fewer and larger messages */
    int64_t read;    /* rows of the part that have come */
};

static bool write_rows(struct copier *copier, const char *data, size_t len, struct err *err)
{
    struct engine *engine = copier->crew->engine;
    metrics_add(engine->metrics, METRIC_COPIED_BYTES, len);
    return rate_spend(copier->crew->rate, len, engine->hard, err) &&
           copier->target->ops->part_rows(copier->target, data, len, err);
}

static bool write_gathered(struct copier *copier, struct err *err)
{
    if (copier->rows.len == 0)
        return true;
    bool is_good = write_rows(copier, copier->rows.data, copier->rows.len, err);
    buf_reset(&copier->rows);
    return is_good;
}

/* A large row goes as it came. */
static bool take_row(struct copier *copier, const char *data, size_t len, struct err *err)
{
    if (len >= WRITE_BYTES)
        return write_gathered(copier, err) && write_rows(copier, data, len, err);
    buf_add(&copier->rows, data, len);
    return copier->rows.len < WRITE_BYTES || write_gathered(copier, err);
}

static bool move_rows(struct copier *copier, struct err *err)
{
    const char *data = NULL;
    size_t len = 0;
    copier->read = 0;
    if (!copy_out_next(copier->source, &data, &len, err) || !fault_point("part.rows", err))
        return false;
    while (data) {
        copier->read++;
        if (!take_row(copier, data, len, err))
            return false;
        if (!copy_out_next(copier->source, &data, &len, err))
            return false;
    }
    return write_gathered(copier, err);
}

static bool copy_opened(struct copier *copier, const struct part *part,
                        const struct part_snapshot *own, int64_t *ret_rows, struct err *err)
{
    AUTO(str_free) char *read_sql = part_read_sql(part);
    AUTO(str_free) char *write_sql = part_write_sql(part);
    struct part_target to = {
        .table_oid = part->table->oid,
        .number = part->number,
        .copy_sql = write_sql,
        .snapshot = own->snapshot,
        .end_lsn = own->end_lsn,
    };
    log_trace("source: %s", read_sql);
    log_trace("target: %s", write_sql);
    buf_reset(&copier->rows);
    return copier->target->ops->part_begin(copier->target, &to, err) &&
           copy_out_begin(copier->source, read_sql, err) && move_rows(copier, err) &&
           conn_exec(copier->source, "COMMIT", err) &&
           (!own->snapshot || history_flush(copier->source, err)) &&
           copier->target->ops->part_commit(copier->target, ret_rows, err) &&
           fault_point("part.committed", err);
}

/* A value that the target refuses, or that the source cannot send: which row it is. */
static bool name_row(struct copier *copier, const struct part *part, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(str_free) char *label = NULL;
    struct err ignored = {0};
    int64_t row = err->row;
    bool is_encoding = conn_refused_encoding(err);
    if (row == 0 && is_encoding) /* the source's: the next after those that came */
        row = copier->read + 1;
    if (row > 0 && engine_connect(copier->crew->engine, true, "copier", &source, &ignored))
        label = part_row_label(source, part, copier->crew->snapshot, row);
    if (label)
        (void)err_wrap(err, "the row at %s", label);
    if (is_encoding)
        return err_hint(err, "mend the value on the source, or make the target database with an "
                             "encoding that has the character (one without an encoding, SQL_ASCII, "
                             "takes the bytes of another such), then start again");
    return false;
}

static bool copy_part(struct copier *copier, const struct part *part, struct report *report)
{
    struct err *err = &report->err;
    enum part_state state = PART_READY;
    AUTO(part_snapshot_release) struct part_snapshot own = {0};
    bool is_good = fault_point("part.begin", err) &&
                   part_open(copier->source, part, copier->crew->snapshot, &state, &own, err);
    report->is_changed = state == PART_CHANGED;
    if (is_good && state == PART_READY)
        is_good = copy_opened(copier, part, &own, &report->rows, err) ||
                  (err->kind == ERR_DATA && name_row(copier, part, err));
    return is_good || err_wrap(err, "copy of %s.%s", part->table->schema, part->table->name);
}

static void send_report(struct crew *crew, const struct report *report)
{
    struct report *copy = mem_alloc(sizeof(*copy));
    *copy = *report;
    if (queue_push(crew->reports, copy, 1, -1) != QUEUE_OK)
        free(copy);
}

static bool copier_open(struct copier *copier, struct err *err)
{
    struct engine *engine = copier->crew->engine;
    AUTO(str_free) char *name = engine_name(engine, "copier");
    struct postgres_options options = {
        .url = engine->settings->target,
        .application_name = name,
        .keeper = engine->ref,
        .is_raw = engine->is_raw,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
        .metrics = engine->metrics,
        .disable_triggers = engine->settings->disable_triggers,
    };
    return engine_connect(engine, true, "copier", &copier->source, err) &&
           postgres_open(&options, &copier->target, err);
}

static void *copier_main(void *arg)
{
    struct copier copier = {.crew = arg};
    struct report end = {0};
    void *item = NULL;
    log_thread("copier");
    bool is_good = copier_open(&copier, &end.err);
    while (is_good && queue_pop(copier.crew->parts, &item, 0) == QUEUE_OK) {
        struct report report = {.part = item};
        log_debug("part %d of %s.%s: reading", report.part->number, report.part->table->schema,
                  report.part->table->name);
        is_good = copy_part(&copier, item, &report);
        send_report(copier.crew, &report);
    }
    conn_free(&copier.source);
    if (copier.target)
        copier.target->ops->free(&copier.target);
    buf_release(&copier.rows);
    send_report(copier.crew, &end);
    return NULL;
}

/* --- the engine thread's side --- */

/* What three limits leave: the server's, the database's, the role's. pg_stat_database counts all
 * sessions for everyone, pg_stat_activity shows each role its own. */
static const char connections_sql[] =
    "SELECT least("
    " pg_catalog.current_setting('max_connections')::int"
    "  - pg_catalog.current_setting('superuser_reserved_connections')::int"
    "  - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0)"
    "  - (SELECT pg_catalog.sum(numbackends) FROM pg_catalog.pg_stat_database),"
    " CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit - (SELECT numbackends"
    "   FROM pg_catalog.pg_stat_database s WHERE s.datid = d.oid) END,"
    " CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit - (SELECT pg_catalog.count(*)"
    "   FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) END)::int,"
    " (SELECT system_identifier FROM pg_catalog.pg_control_system())"
    "  || ' ' || pg_catalog.pg_postmaster_start_time()"
    " FROM pg_catalog.pg_database d, pg_catalog.pg_roles r"
    " WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user";

static bool free_connections(struct conn *conn, int64_t *ret_free, char **ret_server,
                             struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, connections_sql, &rows, err))
        return err_wrap(err, "could not count the free connections");
    *ret_free = rows_int(rows, 0, 0) - SPARE_CONNECTIONS;
    str_set(ret_server, str_dup(rows_text(rows, 0, 1)));
    return true;
}

bool copiers_count(struct engine *engine, int *ret_count, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(str_free) char *source_server = NULL;
    AUTO(str_free) char *target_server = NULL;
    int64_t source_free = 0;
    int64_t target_free = 0;
    if (!engine_connect(engine, true, "copier", &source, err) ||
        !free_connections(source, &source_free, &source_server, err) ||
        !free_connections(engine->keeper, &target_free, &target_server, err))
        return false;
    if (strcmp(source_server, target_server) == 0) /* a copier needs two of the same server's */
        source_free = target_free = MIN_OF(source_free, target_free) / 2;
    int64_t wanted = settings_copiers(engine->settings);
    int64_t count = MIN_OF(wanted, MAX_OF(MIN_OF(source_free, target_free), (int64_t)1));
    if (count < wanted)
        log_warn("only %d of %d copiers: the %s has no more free connections", (int)count,
                 (int)wanted, source_free < target_free ? "source" : "target");
    *ret_count = (int)MIN_OF(count, (int64_t)COPIERS_MAX);
    return true;
}

static void discard_parts(struct queue *parts)
{
    void *item = NULL;
    while (queue_pop(parts, &item, 0) == QUEUE_OK)
        continue;
}

struct tally { /* the engine thread's own view of the run */
    const struct table_list *tables;
    size_t *left; /* parts to come, by table */
    int64_t *rows;
    bool *is_changed;
};

static void note_part(struct engine *engine, struct tally *tally, const struct report *report)
{
    size_t table = (size_t)(report->part->table - tally->tables->items);
    if (report->is_changed) {
        if (!tally->is_changed[table])
            log_info("%s.%s has changed since the snapshot: it will be copied again",
                     report->part->table->schema, report->part->table->name);
        tally->is_changed[table] = true;
        return;
    }
    engine_recovered(engine);
    metrics_add(engine->metrics, METRIC_COPIED_ROWS, (uint64_t)report->rows);
    metrics_add(engine->metrics, METRIC_PARTS_DONE, 1);
    tally->rows[table] += report->rows;
    log_debug("part %d of %s.%s: %" PRId64 " rows, parts left: %zu", report->part->number,
              report->part->table->schema, report->part->table->name, report->rows,
              tally->left[table] - 1);
    if (--tally->left[table] > 0)
        return;
    metrics_add(engine->metrics, METRIC_TABLES_DONE, 1);
    log_info("copied %s.%s: %lld rows", report->part->table->schema, report->part->table->name,
             (long long)tally->rows[table]);
}

/* Until every copier has ended. The first error stays; the queue is emptied for the others. */
static void gather(struct crew *crew, int running, struct tally *tally, struct err *first)
{
    void *item = NULL;
    while (running > 0 && queue_pop(crew->reports, &item, -1) == QUEUE_OK) {
        struct report *report = item;
        if (report->err.kind != ERR_NONE) {
            discard_parts(crew->parts);
            /* An interrupted copier says less than the one that failed. */
            if (first->kind == ERR_NONE || first->kind == ERR_STOP)
                (void)err_copy(first, &report->err);
        } else if (report->part) {
            note_part(crew->engine, tally, report);
            if (report->is_changed && crew->engine->settings->mode == MODE_SNAPSHOT)
                discard_parts(crew->parts); /* all of it starts again */
        }
        running -= report->part == NULL;
        free(report);
    }
}

static int start_copiers(struct crew *crew, int count, pthread_t *threads)
{
    int started = 0;
    while (started < count && pthread_create(&threads[started], NULL, copier_main, crew) == 0)
        started++;
    return started;
}

static void run_crew(struct crew *crew, int count, struct tally *tally, struct err *first)
{
    pthread_t threads[COPIERS_MAX];
    int started = start_copiers(crew, count, threads);
    if (started == 0)
        (void)err_set(first, ERR_FATAL, "could not start a copier thread");
    gather(crew, started, tally, first);
    for (int i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
}

static void push_parts(struct crew *crew, const struct part_list *parts, struct tally *tally)
{
    for (size_t i = 0; i < parts->count; i++) {
        tally->left[parts->items[i].table - tally->tables->items]++;
        if (queue_push(crew->parts, &parts->items[i], 1, 0) != QUEUE_OK)
            abort(); /* the queue was made large enough */
    }
    queue_close(crew->parts);
}

bool copiers_run(struct engine *engine, const struct table_list *tables,
                 const struct part_list *parts, const char *snapshot, bool *is_changed,
                 struct err *err)
{
    int count = 0;
    if (parts->count == 0)
        return true;
    if (!copiers_count(engine, &count, err))
        return false;
    count = (int)MIN_OF((size_t)count, parts->count);
    struct crew crew = {
        .engine = engine,
        .snapshot = snapshot,
        .parts = queue_new(parts->count, parts->count),
        .reports = queue_new(parts->count + COPIERS_MAX, parts->count + COPIERS_MAX),
        .rate = rate_new(engine->settings->max_rate),
    };
    struct tally tally = {
        .tables = tables,
        .left = mem_alloc(tables->count * sizeof(size_t)),
        .rows = mem_alloc(tables->count * sizeof(int64_t)),
        .is_changed = is_changed,
    };
    struct err first = {0};
    push_parts(&crew, parts, &tally);
    run_crew(&crew, count, &tally, &first);
    queue_free(&crew.parts, NULL);
    queue_free(&crew.reports, free);
    rate_free(&crew.rate);
    free(tally.left);
    free(tally.rows);
    return first.kind == ERR_NONE || err_copy(err, &first);
}
