/* Copying tables anew beside the stream. See recopy.h. Runs in a thread of its own.
 *
 * Invariants: S and L are read behind the table's lock, after the end of every transaction that
 * held a writer's lock on it while its changes were set aside already, so S shows whatever the
 * stream had delivered before. Up to L all is on the source's disk before the table counts as
 * copied. The table beside is nobody's state: it is dropped at the next start. */
#include "pipeline/recopy.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "keeper/park.h"
#include "pg/copy.h"
#include "pg/quote.h"
#include "pipeline/history.h"
#include "pipeline/hold.h"
#include "pipeline/rate.h"
#include "source/part.h"

enum { ATTEMPTS_MAX = 50, AGAIN_MS = 100, RETRY_FIRST_MS = 500, RETRY_LONGEST_MS = 30000 };

struct recopy {
    const struct engine *engine; /* read only: what does not change while it follows */
    struct recopy_table *tables; /* borrowed */
    size_t count;
    struct queue *done;
    struct stop *stop;
    struct rate *rate;
    struct conn *source;
    struct conn *target;
    pthread_t thread;
};

void recopy_table_release(struct recopy_table *table)
{
    free(table->schema);
    free(table->name);
    free(table->columns);
    free(table->signature);
    free(table->snapshot);
}

static bool wait_for_writers(const struct recopy *recopy, uint32_t oid, struct err *err)
{
    struct hold_waiter waiter = {recopy->engine, recopy->target, recopy->stop};
    AUTO(str_free) char *oids = str_fmt("{%u}", oid);
    return hold_wait_writers(&waiter, recopy->source, oids, err);
}

static char *columns_of(const struct table *table)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < table->column_count; i++)
        if (!table->columns[i].is_generated)
            quote_add(&text, "%s%I", text.len ? ", " : "", table->columns[i].name);
    return buf_take(&text);
}

static void describe(struct recopy_table *to, const struct table *table,
                     struct part_snapshot *take_own)
{
    str_set(&to->schema, str_dup(table->schema));
    str_set(&to->name, str_dup(table->name));
    str_set(&to->columns, columns_of(table));
    str_set(&to->signature, table_signature(table));
    str_set(&to->snapshot, TAKE(take_own->snapshot));
    to->end_lsn = take_own->end_lsn;
}

/* With the columns of the target's table, none of its rules: what it refuses shows when the
 * contents are replaced. */
static bool make_side(const struct recopy *recopy, const struct recopy_table *table,
                      struct err *err)
{
    AUTO(str_free) char *side = keeper_side_name(table->oid);
    return conn_execf(recopy->target, err,
                      "DROP TABLE IF EXISTS %I.%I; CREATE UNLOGGED TABLE %I.%I AS"
                      " SELECT %s FROM %I.%I WITH NO DATA",
                      recopy->engine->ref.schema, side, recopy->engine->ref.schema, side,
                      table->columns, table->schema, table->name) ||
           err_wrap(err, "could not make a table beside it on the target");
}

static bool move_rows(const struct recopy *recopy, int64_t *ret_rows, struct err *err)
{
    for (;;) {
        const char *data = NULL;
        size_t len = 0;
        if (!copy_out_next(recopy->source, &data, &len, err))
            return false;
        if (!data)
            return copy_in_end(recopy->target, ret_rows, err);
        metrics_add(recopy->engine->metrics, METRIC_COPIED_BYTES, len);
        if (!rate_spend(recopy->rate, len, recopy->stop, err) ||
            !copy_in_write(recopy->target, data, len, err))
            return false;
    }
}

/* As text, which every type has in both versions. */
static bool copy_rows(const struct recopy *recopy, const struct part *part, int64_t *ret_rows,
                      struct err *err)
{
    AUTO(str_free) char *side = keeper_side_name(part->table->oid);
    AUTO(str_free) char *schema = str_dup(recopy->engine->ref.schema);
    struct table to = {.schema = schema, .name = side};
    struct part write = *part;
    write.to = &to;
    AUTO(str_free) char *read_sql = part_read_sql(part);
    AUTO(str_free) char *write_sql = part_write_sql(&write);
    return copy_in_begin(recopy->target, write_sql, err) &&
           copy_out_begin(recopy->source, read_sql, err) && move_rows(recopy, ret_rows, err) &&
           conn_exec(recopy->source, "COMMIT", err) && history_flush(recopy->source, err);
}

/* *ret_is_done is false when the table has changed its shape just now. */
static bool try_copy(struct recopy *recopy, struct recopy_table *table, bool *ret_is_done,
                     struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    AUTO(part_snapshot_release) struct part_snapshot own = {0};
    enum part_state state = PART_READY;
    int64_t rows = 0;
    if (!catalog_tables(recopy->source, recopy->engine->ref.schema, &tables, err))
        return false;
    const struct table *now = table_list_find_oid(&tables, table->oid);
    if (!now)
        return err_set(err, ERR_CONFIG, "it is gone from the source");
    struct part part = {.table = now, .end_block = -1, .is_whole = true, .is_restless = true};
    if (!part_open(recopy->source, &part, NULL, &state, &own, err))
        return false;
    *ret_is_done = state == PART_READY;
    if (state == PART_CHANGED)
        return true;
    describe(table, now, &own);
    if (!history_timeline(recopy->source, &table->timeline, err) ||
        !make_side(recopy, table, err) || !fault_point("resync.snapshot", err) ||
        !copy_rows(recopy, &part, &rows, err))
        return false;
    metrics_add(recopy->engine->metrics, METRIC_COPIED_ROWS, (uint64_t)rows);
    log_info("copied %s.%s anew: %" PRId64 " rows", table->schema, table->name, rows);
    return fault_point("resync.copied", err);
}

static bool copy_table(struct recopy *recopy, struct recopy_table *table, struct err *err)
{
    bool is_done = false;
    const struct engine *engine = recopy->engine;
    if (!engine_connect_until(engine, true, "resync", recopy->stop, &recopy->source, err) ||
        !engine_connect_until(engine, false, "resync", recopy->stop, &recopy->target, err) ||
        !wait_for_writers(recopy, table->oid, err))
        return false;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && !is_done; attempt++) {
        if (attempt && stop_wait(recopy->stop, AGAIN_MS))
            return err_set(err, ERR_STOP, "interrupted");
        if (!try_copy(recopy, table, &is_done, err))
            return false;
    }
    return is_done || err_set(err, ERR_RETRY, "it changes its shape all the time");
}

/* What may pass is tried again, under a new S: what is set aside meanwhile serves any. */
static void copy_at_last(struct recopy *recopy, struct recopy_table *table)
{
    int wait_ms = RETRY_FIRST_MS;
    for (;;) {
        table->err = (struct err){0};
        (void)!copy_table(recopy, table, &table->err);
        conn_free(&recopy->source); /* whatever state they are in */
        conn_free(&recopy->target);
        if (table->err.kind != ERR_RETRY)
            return;
        (void)err_wrap(&table->err, "a table could not be copied anew yet");
        log_err(LOG_WARN, &table->err);
        if (stop_wait(recopy->stop, wait_ms))
            return;
        wait_ms = MIN_OF(wait_ms * 2, (int)RETRY_LONGEST_MS);
    }
}

static void *recopy_main(void *arg)
{
    struct recopy *recopy = arg;
    log_thread("resync");
    for (size_t i = 0; i < recopy->count && !stop_raised(recopy->stop); i++) {
        struct recopy_table *table = &recopy->tables[i];
        copy_at_last(recopy, table);
        if (queue_push(recopy->done, table, 1, 0) != QUEUE_OK)
            abort(); /* it has room for all */
    }
    return NULL;
}

struct recopy *recopy_start(struct engine *engine, struct recopy_table *tables, size_t count)
{
    struct recopy *recopy = mem_alloc(sizeof(*recopy));
    recopy->engine = engine;
    recopy->tables = tables;
    recopy->count = count;
    recopy->done = queue_new(count, count);
    recopy->stop = stop_new();
    recopy->rate = rate_new(engine->settings->max_rate);
    if (pthread_create(&recopy->thread, NULL, recopy_main, recopy) != 0)
        abort();
    return recopy;
}

struct recopy_table *recopy_next(struct recopy *recopy)
{
    void *item = NULL;
    return queue_pop(recopy->done, &item, 0) == QUEUE_OK ? item : NULL;
}

void recopy_stop(struct recopy **recopy)
{
    struct recopy *r = *recopy;
    if (!r)
        return;
    stop_raise(r->stop);
    (void)pthread_join(r->thread, NULL);
    queue_free(&r->done, NULL);
    stop_free(&r->stop);
    rate_free(&r->rate);
    free(r);
    *recopy = NULL;
}
