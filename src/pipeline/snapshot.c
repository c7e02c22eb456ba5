/* Copying once. See snapshot.h. Engine thread.
 *
 * Invariants: all rows are of one snapshot, so that the copy is a state of the source. What cannot
 * be read under it any more (the connection was lost, a table was rewritten) ends the attempt, and
 * the next one starts again from nothing. Before the first row is written, the record says which
 * tables are being filled, so that a snapshot after a kill knows what is its own. */
#include "pipeline/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pipeline/attempt.h"
#include "pipeline/large_objects.h"

static const char DISK_FULL[] = "53100";

enum { CHANGES_MAX = 5, LOSSES_MAX = 10 };

static void snapshot_release(struct snapshot *snapshot)
{
    str_free(&snapshot->schema);
    keeper_tables_release(&snapshot->kept);
    buf_release(&snapshot->reset_sql);
    strv_release(&snapshot->changed);
    snapshot->engine->ref = (struct keeper_ref){0}; /* its texts are gone */
}

/* --- starting from nothing --- */

static bool record(struct snapshot *snapshot, struct err *err)
{
    struct engine *engine = snapshot->engine;
    AUTO(str_free) char *patterns = selection_text(engine->settings);
    char none[] = "";
    struct keeper_pipeline pipeline = {
        .slot = engine->slot,
        .publication = none,
        .system_id = engine->system_id,
        .database = engine->database,
        .patterns = patterns,
    };
    return keeper_migrate(engine->keeper, snapshot->schema, err) &&
           (snapshot->is_known ||
            keeper_create(engine->keeper, snapshot->schema, &pipeline, err)) &&
           fault_point("keeper.created", err);
}

static bool is_empty(struct engine *engine, const struct table *table, bool *ret_is_empty,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT FROM ONLY %I.%I LIMIT 1", table->schema, table->name);
    if (!conn_query(engine->keeper, sql, &rows, err))
        return false;
    *ret_is_empty = rows_count(rows) == 0;
    return true;
}

/* The table that an earlier attempt made, *ret_table NULL: it made none. One that was only meant
 * to be made is known by its name, and that no row was copied into it yet. */
static bool find_made(struct engine *engine, const struct keeper_table *kept,
                      const struct table_list *there, const struct table **ret_table,
                      struct err *err)
{
    bool is_made = kept->is_ours;
    *ret_table = NULL;
    const struct table *table = kept->target_oid ? table_list_find_oid(there, kept->target_oid)
                                                 : table_list_find(there, kept->schema, kept->name);
    if (is_made && table && !kept->target_oid && !is_empty(engine, table, &is_made, err))
        return false;
    *ret_table = is_made ? table : NULL;
    return true;
}

/* Drops the tables that an earlier attempt made, with what depends on them. */
static bool drop_made(struct engine *engine, const struct keeper_tables *kept,
                      const struct table_list *there, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    for (size_t i = 0; i < kept->count; i++) {
        const struct table *table = NULL;
        if (!find_made(engine, &kept->items[i], there, &table, err))
            return false;
        if (table)
            quote_add(&sql, "%s %I.%I", sql.len ? "," : "DROP TABLE", table->schema, table->name);
    }
    if (!sql.len)
        return true;
    buf_puts(&sql, " CASCADE");
    return conn_exec(engine->keeper, sql.data, err);
}

/* Empties the tables that were there before, which were empty then. */
static bool empty_found(struct engine *engine, const struct keeper_tables *kept,
                        const struct table_list *there, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    bool *is_listed = mem_alloc(there->count * sizeof(bool) + 1);
    for (size_t i = 0; i < kept->count; i++) {
        const struct table *table = table_list_find_oid(there, kept->items[i].target_oid);
        if (!kept->items[i].is_ours && table)
            is_listed[table - there->items] = true;
    }
    snapshot_truncate_sql(there, is_listed, &sql);
    free(is_listed);
    return !sql.len || conn_exec(engine->keeper, sql.data, err);
}

static bool forget(struct engine *engine, const struct keeper_tables *kept, struct err *err)
{
    for (size_t i = 0; i < kept->count; i++)
        if (!keeper_forget_table(engine->keeper, &engine->ref, kept->items[i].oid, err))
            return false;
    return true;
}

static bool undo(struct engine *engine, struct err *err)
{
    AUTO(keeper_tables_release) struct keeper_tables kept = KEEPER_TABLES_INIT;
    AUTO(table_list_release) struct table_list there = TABLE_LIST_INIT;
    return keeper_tables(engine->keeper, &engine->ref, &kept, err) &&
           catalog_tables(engine->keeper, engine->ref.schema, &there, err) &&
           drop_made(engine, &kept, &there, err) && empty_found(engine, &kept, &there, err) &&
           forget(engine, &kept, err);
}

static bool start_over(struct engine *engine, struct err *err)
{
    metrics_set(engine->metrics, METRIC_PARTS_DONE, 0);
    metrics_set(engine->metrics, METRIC_TABLES_DONE, 0);
    if (large_objects_undo(engine, err) && conn_exec(engine->keeper, "BEGIN", err) &&
        undo(engine, err) && keeper_set_phase(engine->keeper, &engine->ref, KEEPER_CREATED, err) &&
        conn_exec(engine->keeper, "COMMIT", err))
        return true;
    struct err ignored = {0};
    (void)conn_exec(engine->keeper, "ROLLBACK", &ignored);
    return err_wrap(err, "could not undo what an unfinished snapshot left");
}

/* --- one attempt --- */

/* No end position: nothing follows this snapshot. */
static bool hold_snapshot(struct engine *engine, struct hold *ret_hold, struct err *err)
{
    AUTO(hold_release) struct hold hold = {0};
    if (!engine_connect(engine, true, "snapshot", &hold.conn, err) ||
        !conn_exec(hold.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) ||
        !conn_text(hold.conn, "SELECT pg_catalog.pg_current_snapshot()", &hold.snapshot, err) ||
        !conn_text(hold.conn, "SELECT pg_catalog.pg_export_snapshot()", &hold.exported, err))
        return err_wrap(err, "could not hold a snapshot");
    *ret_hold = hold;
    hold = (struct hold){0};
    return fault_point("snapshot.held", err);
}

static bool record_each(const struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    char none[] = "";
    AUTO(keeper_plan_release)
    struct keeper_plan plan = {.conn = engine->keeper, .ref = &engine->ref};
    for (size_t i = 0; i < attempt->tables.count; i++) {
        const struct table *table = &attempt->tables.items[i];
        const struct table *made = table_list_find(&attempt->target, table->schema, table->name);
        struct keeper_table kept = {
            .oid = table->oid,
            .target_oid = made ? made->oid : 0,
            .schema = table->schema,
            .name = table->name,
            .snapshot = attempt->hold.snapshot,
            .signature = none,
            .is_ours = true,
        };
        bool was_there =
            table_list_goal(&attempt->found, table, engine->settings->publish_via_root);
        if (!was_there && !keeper_plan_table(&plan, &kept, 1, err))
            return false;
    }
    return keeper_plan_end(&plan, err);
}

/* The tables that are about to be made, or have just been. */
static bool record_made(const struct attempt *attempt, struct err *err)
{
    struct conn *keeper = attempt->engine->keeper;
    if (conn_exec(keeper, "BEGIN", err) && record_each(attempt, err) &&
        conn_exec(keeper, "COMMIT", err))
        return true;
    struct err ignored = {0};
    (void)conn_exec(keeper, "ROLLBACK", &ignored);
    return false;
}

static bool restore_tables(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    return record_made(attempt, err) && attempt_restore(attempt, SCHEMA_TABLES, err) &&
           fault_point("schema.restored", err) &&
           catalog_tables(engine->keeper, engine->ref.schema, &attempt->target, err) &&
           record_made(attempt, err);
}

static bool make_tables(struct attempt *attempt, bool *ret_is_good, struct err *err)
{
    struct engine *engine = attempt->engine;
    *ret_is_good = true;
    if (engine->settings->snapshot_content == SNAPSHOT_DATA)
        return catalog_tables(engine->keeper, engine->ref.schema, &attempt->target, err);
    return attempt_dump(attempt, ret_is_good, err) &&
           (!*ret_is_good || restore_tables(attempt, err));
}

static bool reset(struct snapshot *snapshot, struct err *err)
{
    if (!snapshot->reset_sql.len)
        return true;
    if (!conn_exec(snapshot->engine->keeper, buf_text(&snapshot->reset_sql), err))
        return err_wrap(err, "could not empty the target's tables");
    buf_reset(&snapshot->reset_sql);
    return true;
}

static void note_changed(struct snapshot *snapshot, const struct attempt *attempt)
{
    const struct engine *engine = snapshot->engine;
    strv_release(&snapshot->changed);
    for (size_t i = 0; i < engine->restless_count; i++) {
        const struct table *table = table_list_find_oid(&attempt->tables, engine->restless[i]);
        if (table)
            strv_take(&snapshot->changed, table_label(table));
    }
}

static bool copy_rows(struct snapshot *snapshot, struct attempt *attempt, bool *ret_is_whole,
                      struct err *err)
{
    if (snapshot->engine->settings->snapshot_content == SNAPSHOT_SCHEMA)
        return true;
    if (!reset(snapshot, err) || !attempt_plan(attempt, err) ||
        !attempt_rows(attempt, ret_is_whole, err))
        return false;
    if (!*ret_is_whole)
        note_changed(snapshot, attempt);
    return !*ret_is_whole || large_objects_copy(snapshot->engine, attempt->hold.conn, err);
}

/* The source's snapshot is not needed any more. */
static bool finish(struct attempt *attempt, struct err *err)
{
    enum snapshot_content content = attempt->engine->settings->snapshot_content;
    hold_release(&attempt->hold);
    log_info(content == SNAPSHOT_DATA ? "setting sequences" : "building indexes and keys");
    return fault_point("copy.rows_done", err) &&
           (content == SNAPSHOT_DATA || attempt_restore(attempt, SCHEMA_INDEXES, err)) &&
           (content == SNAPSHOT_SCHEMA || attempt_finish(attempt, err)) &&
           fault_point("copy.indexes_done", err) &&
           (content == SNAPSHOT_DATA || attempt_restore(attempt, SCHEMA_KEYS, err)) &&
           fault_point("copy.keys_done", err);
}

/* *ret_is_whole is false when the source has changed its schema or tables under the snapshot. */
static bool attempt_once(struct snapshot *snapshot, bool *ret_is_whole, struct err *err)
{
    struct engine *engine = snapshot->engine;
    AUTO(attempt_release)
    struct attempt attempt = {.engine = engine, .is_standby = snapshot->is_standby};
    strv_release(&snapshot->changed);
    *ret_is_whole = true;
    if (!start_over(engine, err) || !engine_connect(engine, true, "catalog", &attempt.fresh, err) ||
        !hold_snapshot(engine, &attempt.hold, err) || !attempt_read_tables(&attempt, err))
        return false;
    engine_recovered(engine);
    if (!make_tables(&attempt, ret_is_whole, err))
        return false;
    if (*ret_is_whole && !copy_rows(snapshot, &attempt, ret_is_whole, err))
        return false;
    return !*ret_is_whole || finish(&attempt, err);
}

/* --- all of it --- */

static bool refuse_restless(const struct snapshot *snapshot, struct err *err)
{
    AUTO(str_free) char *names = strv_join(&snapshot->changed, ", ");
    if (!*names) {
        (void)err_set(err, ERR_FATAL, "the source's schema keeps changing while it is copied");
        return err_hint(err, "start again when no schema changes run");
    }
    (void)err_set(err, ERR_FATAL,
                  "tables keep being truncated, rewritten or altered while they are copied: %.600s",
                  names);
    return err_hint(err, "start again when that rests, or leave them out with --excluded-tables");
}

/* A server that does not come back is waited for as a pipeline does (reconnect_timeout); bounded is
 * how often a copy that had begun is lost. */
static bool copy(struct snapshot *snapshot, struct err *err)
{
    struct engine *engine = snapshot->engine;
    int losses = 0;
    for (int changes = 0; changes < CHANGES_MAX;) {
        bool is_whole = false;
        *err = (struct err){0};
        if (attempt_once(snapshot, &is_whole, err)) {
            if (is_whole)
                return true;
            changes++;
            log_info("starting again from nothing with a new snapshot");
            continue;
        }
        if (err->kind != ERR_RETRY || strcmp(err->sqlstate, DISK_FULL) == 0)
            return false;
        if (!engine->lost_ms && losses++ == LOSSES_MAX)
            return err_wrap(err, "gave up after the copy was lost %d times", losses);
        log_info("the copy starts again from nothing");
        if (!engine_reconnect(engine, err))
            return false;
    }
    return refuse_restless(snapshot, err);
}

/* The record goes when it is of no more use: the copy is done, or no table was made or filled. */
static bool drop_record(struct snapshot *snapshot, struct err *err)
{
    struct engine *engine = snapshot->engine;
    bool is_dropped = false;
    if (keeper_drop(engine->keeper, snapshot->schema, &is_dropped, err))
        return true;
    return err->kind == ERR_RETRY && engine_lock(engine, err) &&
           keeper_drop(engine->keeper, snapshot->schema, &is_dropped, err);
}

static bool has_begun(struct engine *engine, bool *ret_has_begun, struct err *err)
{
    AUTO(keeper_tables_release) struct keeper_tables kept = KEEPER_TABLES_INIT;
    AUTO(table_list_release) struct table_list there = TABLE_LIST_INIT;
    if (!keeper_tables(engine->keeper, &engine->ref, &kept, err) ||
        !catalog_tables(engine->keeper, engine->ref.schema, &there, err))
        return false;
    *ret_has_begun = false;
    for (size_t i = 0; i < kept.count; i++)
        if (table_list_find(&there, kept.items[i].schema, kept.items[i].name))
            *ret_has_begun = true;
    return true;
}

static void drop_empty_record(struct snapshot *snapshot)
{
    struct engine *engine = snapshot->engine;
    struct err ignored = {0};
    bool has = true;
    if (engine->keeper && !conn_is_lost(engine->keeper) && has_begun(engine, &has, &ignored) &&
        !has)
        (void)drop_record(snapshot, &ignored);
}

static bool run(struct snapshot *snapshot, struct err *err)
{
    const struct metrics *metrics = snapshot->engine->metrics;
    if (snapshot->is_known)
        log_info("an unfinished snapshot of this source is started again from nothing");
    if (!record(snapshot, err) || !copy(snapshot, err) || !drop_record(snapshot, err)) {
        drop_empty_record(snapshot);
        return err->kind == ERR_STOP ? false : err_wrap(err, "snapshot failed");
    }
    log_info("snapshot complete: %" PRIu64 " tables, %" PRIu64 " rows",
             metrics_get(metrics, METRIC_TABLES_DONE), metrics_get(metrics, METRIC_COPIED_ROWS));
    return true;
}

bool snapshot_run(struct engine *engine, struct err *err)
{
    AUTO(snapshot_release)
    struct snapshot snapshot = {.engine = engine,
                                .schema = keeper_snapshot_schema(engine->settings->keeper_schema)};
    metrics_set(engine->metrics, METRIC_PHASE, METRICS_STARTING);
    if (!snapshot_check(&snapshot, err) || !fault_point("start.checked", err))
        return false;
    metrics_set(engine->metrics, METRIC_PHASE, METRICS_COPYING);
    return run(&snapshot, err);
}
