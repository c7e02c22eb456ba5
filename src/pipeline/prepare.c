/* From nothing to a slot whose start is stored: lock, keeper, publication, slot, in this order.
 *
 * Each step is recorded before or together with what it makes, so that a start after kill -9 goes
 * on where the last one died: phase `created` means that publication and slot may be there. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "pg/replication.h"
#include "pipeline/engine.h"
#include "source/slot.h"

enum {
    LOCK_WAIT_MS = 3000,
    FREE_WAIT_MS = 10000,
    RETRY_MS = 50,
    RETRY_FIRST_MS = 500,
    RETRY_LONGEST_MS = 30000,
};

char *engine_name(const struct engine *engine, const char *role)
{
    return str_fmt("%s%s", engine->name_prefix ? engine->name_prefix : "trunkline::", role);
}

bool engine_connect(struct engine *engine, bool is_source, const char *role, struct conn **ret_conn,
                    struct err *err)
{
    AUTO(str_free) char *name = engine_name(engine, role);
    struct conn_options options = {
        .url = is_source ? engine->settings->source : engine->settings->target,
        .what = is_source ? "source" : "target",
        .application_name = name,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
    };
    return conn_open(&options, ret_conn, err);
}

static bool is_selected(const struct table *table, void *arg)
{
    struct engine *engine = arg;
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_covers(&engine->selection, &names);
}

bool engine_tables(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                   struct err *err)
{
    if (!catalog_tables(source, engine->ref.schema, ret_tables, err))
        return false;
    table_list_filter(ret_tables, is_selected, engine);
    return true;
}

/* --- the lock --- */

static bool lock_is_taken(struct engine *engine, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder holder = {0};
    if (!keeper_lock_holder(engine->keeper, &engine->ref, &holder, err))
        return false;
    (void)err_set(err, ERR_CONFIG,
                  "another engine runs this pipeline (backend %d on the target, from %s, since %s)",
                  holder.pid, holder.client ? holder.client : "local",
                  holder.since ? holder.since : "unknown");
    return err_hint(err, "stop that one first; if its host is dead, end its session with "
                         "pg_terminate_backend()");
}

/* A killed engine's session may live for a moment: wait a little before giving up. */
static bool take_lock(struct engine *engine, struct err *err)
{
    int64_t until = clock_ms() + LOCK_WAIT_MS;
    for (;;) {
        bool is_locked = false;
        if (!keeper_try_lock(engine->keeper, &engine->ref, &is_locked, err))
            return false;
        if (is_locked)
            return true;
        if (clock_ms() >= until)
            return lock_is_taken(engine, err);
        if (stop_wait(engine->soft, RETRY_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

/* We hold the lock: other sessions of this pipeline belong to an engine that is no more. Their
 * transactions must be over before we look at what they did. */
static bool end_orphans(struct engine *engine, struct err *err)
{
    const char *params[] = {engine->name_prefix};
    int64_t until = clock_ms() + FREE_WAIT_MS;
    for (;;) {
        AUTO(rows_free) struct rows *rows = NULL;
        if (!conn_query_params(engine->keeper,
                               "SELECT pg_catalog.pg_terminate_backend(pid)"
                               " FROM pg_catalog.pg_stat_activity"
                               " WHERE pg_catalog.starts_with(application_name, $1)"
                               " AND datname = pg_catalog.current_database()"
                               " AND pid <> pg_catalog.pg_backend_pid()"
                               " AND usename = current_user",
                               1, params, &rows, err))
            return false;
        if (rows_count(rows) == 0)
            return true;
        if (clock_ms() >= until)
            return err_set(err, ERR_RETRY,
                           "sessions of a killed engine are still working on the target");
        if (stop_wait(engine->soft, RETRY_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

bool engine_lock(struct engine *engine, struct err *err)
{
    conn_free(&engine->keeper);
    return engine_connect(engine, false, "keeper", &engine->keeper, err) &&
           conn_exec(engine->keeper, "SET synchronous_commit = local", err) &&
           take_lock(engine, err) && end_orphans(engine, err);
}

/* --- publication and slot --- */

static bool create_slot(struct engine *engine, struct err *err)
{
    uint64_t consistent = 0;
    AUTO(str_free) char *name = engine_name(engine, "slot");
    struct conn_options options = {
        .url = engine->settings->source,
        .what = "source",
        .application_name = name,
        .is_replication = true,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
    };
    if (!conn_open(&options, &engine->creator, err))
        return false;
    log_info("creating slot %s: waits for the transactions that run now", engine->slot);
    bool is_made = replication_create_slot(engine->creator, engine->slot, true, &consistent,
                                           &engine->created_snapshot, err);
    if (!is_made && strcmp(err->sqlstate, "40001") == 0) {
        /* Too many subtransactions to export: a snapshot beside the slot serves as well. */
        is_made =
            replication_create_slot(engine->creator, engine->slot, false, &consistent, NULL, err);
        conn_free(&engine->creator);
    }
    return is_made && fault_point("slot.created", err) &&
           keeper_set_slot(engine->keeper, &engine->ref, consistent, err);
}

/* A slot of that name is there already: ours from a start that died, or made by hand. It is moved
 * past the publication, which must be older than what is decoded. */
static bool adopt_slot(struct engine *engine, struct conn *source, struct err *err)
{
    uint64_t lsn = 0;
    if (!slot_advance(source, engine->slot, &lsn, err) || !fault_point("slot.created", err))
        return false;
    log_info("using the slot %s that exists", engine->slot);
    return keeper_set_slot(engine->keeper, &engine->ref, lsn, err);
}

static bool make_slot(struct engine *engine, bool is_known, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    AUTO(slot_state_release) struct slot_state state = {0};
    if (!engine_connect(engine, true, "prepare", &source, err) ||
        /* only a pipeline that the keeper knew can have left sessions that are ours to end */
        !slot_wait_free(source, engine->slot, is_known ? engine->name_prefix : NULL, engine->soft,
                        FREE_WAIT_MS, err) ||
        !slot_look(source, engine->slot, &state, err) ||
        !engine_tables(engine, source, &tables, err) ||
        !publication_create(source, engine->publication, &tables, err) ||
        !fault_point("publication.created", err))
        return false;
    for (size_t i = 0; i < tables.count; i++)
        if (tables.items[i].persistence == 'u')
            log_warn("%s.%s is unlogged: its rows are copied, its changes are not in the WAL",
                     tables.items[i].schema, tables.items[i].name);
    return (state.exists ? adopt_slot(engine, source, err) : create_slot(engine, err)) &&
           fault_point("slot.recorded", err);
}

static bool record(struct engine *engine, struct err *err)
{
    AUTO(str_free) char *patterns = selection_text(engine->settings);
    struct keeper_pipeline pipeline = {
        .slot = engine->slot,
        .publication = engine->publication,
        .system_id = engine->system_id,
        .database = engine->database,
        .timeline = engine->timeline,
        .patterns = patterns,
    };
    return keeper_create(engine->keeper, engine->ref.schema, &pipeline, err) &&
           fault_point("keeper.created", err);
}

static bool load(struct engine *engine, bool *ret_found, struct err *err)
{
    keeper_pipeline_release(&engine->pipeline);
    return keeper_load(engine->keeper, engine->ref.schema, ret_found, &engine->pipeline, err);
}

bool engine_prepare(struct engine *engine, struct err *err)
{
    bool is_known = false;
    if (!fault_point("start.checked", err) || !engine_lock(engine, err) ||
        !keeper_migrate(engine->keeper, engine->ref.schema, err) || !load(engine, &is_known, err))
        return false;
    bool was_known = is_known;
    if (!was_known && (!record(engine, err) || !load(engine, &is_known, err)))
        return false;
    if (engine->pipeline.phase == KEEPER_CREATED && !make_slot(engine, was_known, err))
        return false;
    return load(engine, &is_known, err);
}

void engine_recovered(struct engine *engine)
{
    engine->lost_ms = 0;
    engine->retry_ms = 0;
}

/* How long to wait before the next try; negative: the time is up. */
static int64_t next_wait(struct engine *engine)
{
    int64_t limit = engine->settings->reconnect_timeout_ms;
    int64_t now = clock_ms();
    if (!engine->lost_ms)
        engine->lost_ms = now;
    engine->retry_ms = engine->retry_ms ? MIN_OF(engine->retry_ms * 2, (int)RETRY_LONGEST_MS)
                                        : (int)RETRY_FIRST_MS;
    int64_t left = limit ? engine->lost_ms + limit - now : engine->retry_ms;
    return left <= 0 ? -1 : MIN_OF(left, (int64_t)engine->retry_ms);
}

bool engine_reconnect(struct engine *engine, struct err *err)
{
    while (err->kind == ERR_RETRY) {
        int64_t wait_ms = next_wait(engine);
        if (wait_ms < 0)
            return err_wrap(err, "gave up after reconnect_timeout");
        log_err(LOG_WARN, err);
        log_info("trying again in %d ms", (int)wait_ms);
        metrics_add(engine->metrics, METRIC_RECONNECTS, 1);
        if (stop_wait(engine->soft, (int)wait_ms))
            return err_set(err, ERR_STOP, "interrupted");
        if (engine_lock(engine, err))
            return true;
    }
    return false;
}
