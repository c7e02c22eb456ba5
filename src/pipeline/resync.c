/* Tables that are copied anew beside the stream. See resync.h. */
#include "pipeline/resync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/park.h"
#include "pg/quote.h"
#include "pipeline/aside.h"
#include "pipeline/recopy.h"
#include "pipeline/route.h"
#include "target/postgres/postgres.h"

enum { ASIDE_BYTES = 8 * 1024 * 1024 }; /* in memory, at most */

struct resync {
    struct engine *engine;
    struct spill_store *store;
    struct recopy *recopy;
    struct recopy_table *tables; /* owned; and what is set aside of each: */
    struct aside **asides;       /* owned; NULL: it has joined */
    bool *is_copied;             /* owned */
    size_t count;
};

/* --- the request --- */

struct request {
    struct engine *engine;
    struct pattern_list patterns;
    struct table_list tables; /* of the source */
    struct keeper_tables kept;
    uint32_t *oids;
    size_t count;
};

static void request_release(struct request *request)
{
    pattern_list_release(&request->patterns);
    table_list_release(&request->tables);
    keeper_tables_release(&request->kept);
    free(request->oids);
}

static bool is_named(struct request *request, const struct table *table)
{
    bool by_name = pattern_list_mark(&request->patterns, table->schema, table->name);
    bool by_root = table->root_name &&
                   pattern_list_mark(&request->patterns, table->root_schema, table->root_name);
    return by_name || by_root;
}

static bool refuse(const struct table *table, const char *why, struct err *err)
{
    return err_set(err, ERR_CONFIG, "%s.%s cannot be copied anew: %s", table->schema, table->name,
                   why);
}

static bool take_table(struct request *request, const struct table *table, struct err *err)
{
    const struct keeper_table *kept = keeper_table_find(&request->kept, table->oid);
    if (table->kind != 'r' || !is_named(request, table))
        return true;
    if (!kept)
        return refuse(table, "it is not followed", err);
    if (route_is_leaf(request->engine, table))
        return refuse(table,
                      "its rows are among those of its root's other partitions "
                      "(publish_via_root); hint: tear-down, empty the target and copy again",
                      err);
    if (kept->is_copied)
        request->oids[request->count++] = table->oid;
    return true; /* else it is being copied by now */
}

static bool refuse_unknown(const struct request *request, struct err *err)
{
    AUTO(strv_release) struct strv unmatched = STRV_INIT;
    pattern_list_unmatched(&request->patterns, &unmatched);
    if (!unmatched.count)
        return true;
    AUTO(str_free) char *names = strv_join(&unmatched, ", ");
    (void)err_set(err, ERR_CONFIG, "no table of the source matches --resync %s", names);
    return err_hint(err, "a name without schema means public; quote names with capitals");
}

static bool read_request(struct request *request, struct err *err)
{
    struct engine *engine = request->engine;
    AUTO(conn_free) struct conn *source = NULL;
    if (!engine->pipeline.consistent_from) {
        (void)err_set(err, ERR_CONFIG, "the copy is not complete yet: nothing can be copied anew");
        return err_hint(err, "start without --resync until status says that it is consistent");
    }
    if (!pattern_list_parse(&engine->settings->resync, &request->patterns, err) ||
        !engine_connect(engine, true, "prepare", &source, err) ||
        !catalog_tables(source, engine->ref.schema, &request->tables, err) ||
        !keeper_tables(engine->keeper, &engine->ref, &request->kept, err))
        return false;
    request->oids = mem_alloc((request->tables.count + 1) * sizeof(*request->oids));
    for (size_t i = 0; i < request->tables.count; i++)
        if (!take_table(request, &request->tables.items[i], err))
            return false;
    return refuse_unknown(request, err);
}

bool resync_request(struct engine *engine, struct err *err)
{
    AUTO(request_release) struct request request = {.engine = engine};
    if (!engine->settings->resync.count)
        return true;
    return read_request(&request, err) &&
           keeper_resync(engine->keeper, &engine->ref, request.oids, request.count, err) &&
           fault_point("resync.requested", err);
}

/* --- the session --- */

static struct resync *resync_new(struct engine *engine, size_t count)
{
    struct resync *resync = mem_alloc(sizeof(*resync));
    resync->engine = engine;
    resync->count = count;
    resync->tables = mem_alloc(count * sizeof(*resync->tables));
    resync->asides = mem_alloc(count * sizeof(struct aside *));
    resync->is_copied = mem_alloc(count);
    return resync;
}

void resync_close(struct resync **resync)
{
    struct resync *r = *resync;
    if (!r)
        return;
    recopy_stop(&r->recopy);
    for (size_t i = 0; i < r->count; i++) {
        aside_free(&r->asides[i]);
        recopy_table_release(&r->tables[i]);
    }
    if (r->store)
        spill_store_free(&r->store);
    free(r->tables);
    free(r->asides);
    free(r->is_copied);
    free(r);
    *resync = NULL;
}

static bool is_to_copy(const struct keeper_table *table)
{
    return table->is_resync && table->is_copied;
}

bool resync_open(struct engine *engine, const struct keeper_tables *tables,
                 struct resync **ret_resync, struct err *err)
{
    AUTO(resync_close) struct resync *resync = NULL;
    const struct settings *settings = engine->settings;
    struct spill_options options = {
        .dir = settings->spill_dir,
        .memory_bytes = (size_t)MIN_OF(settings->spill_memory, (int64_t)ASIDE_BYTES),
        .metrics = engine->metrics,
    };
    size_t count = 0;
    for (size_t i = 0; i < tables->count; i++)
        count += is_to_copy(&tables->items[i]);
    if (!keeper_drop_sides(engine->keeper, engine->ref.schema, err))
        return false;
    if (!count)
        return true;
    resync = resync_new(engine, count);
    if (!spill_store_open(&options, &resync->store, err))
        return false;
    count = 0;
    for (size_t i = 0; i < tables->count; i++) {
        const struct keeper_table *table = &tables->items[i];
        if (!is_to_copy(table))
            continue;
        AUTO(str_free) char *label = str_fmt("%s.%s", table->schema, table->name);
        log_info("%s is copied anew beside the stream: until it joins it stays as it was", label);
        resync->asides[count] = aside_new(resync->store, label);
        resync->tables[count++].oid = table->oid;
    }
    resync->recopy = recopy_start(engine, resync->tables, resync->count);
    *ret_resync = TAKE(resync);
    return true;
}

/* --- what is set aside --- */

void resync_keep(struct resync *resync, const struct change *change,
                 const struct relation *relation, uint32_t xid)
{
    for (size_t i = 0; resync && i < resync->count; i++)
        if (resync->tables[i].oid == relation->oid && resync->asides[i])
            aside_add(resync->asides[i], change, relation, xid);
}

bool resync_settle(struct resync *resync, struct err *err)
{
    return !resync || spill_store_settle(resync->store, err);
}

/* --- what the thread has done --- */

/* What may pass is tried again with the next session; else the table goes on as a parked one. */
static bool note_failure(struct resync *resync, const struct recopy_table *table, struct err *err)
{
    struct engine *engine = resync->engine;
    if (err->kind == ERR_RETRY || err->kind == ERR_STOP)
        return false;
    if (!engine->failure.count)
        apply_failure_table(&engine->failure, table->oid, err);
    engine->has_resync_failed = true;
    return false;
}

bool resync_look(struct resync *resync, struct err *err)
{
    struct recopy_table *table = recopy_next(resync->recopy);
    if (!table)
        return true;
    if (table->err.kind == ERR_NONE) {
        resync->is_copied[table - resync->tables] = true;
        return true;
    }
    const char *name = table->name ? table->name : "a table";
    (void)err_copy(err, &table->err);
    (void)err_wrap(err, "could not copy %s%s%s anew", table->schema ? table->schema : "",
                   table->schema ? "." : "", name);
    return note_failure(resync, table, err);
}

static bool is_ready(const struct resync *resync, size_t i, uint64_t lsn)
{
    return resync->asides[i] && resync->is_copied[i] && resync->tables[i].end_lsn <= lsn;
}

bool resync_is_ready(const struct resync *resync, uint64_t lsn)
{
    for (size_t i = 0; i < resync->count; i++)
        if (is_ready(resync, i, lsn))
            return true;
    return false;
}

bool resync_is_over(const struct resync *resync)
{
    for (size_t i = 0; i < resync->count; i++)
        if (resync->asides[i])
            return false;
    return true;
}

/* --- joining --- */

struct joining {
    struct resync *resync;
    struct recopy_table *table;
    struct aside *aside;
    struct target *target;
    struct keeper_table *kept; /* of the session's tables */
    uint32_t target_oid;
    bool is_partitioned;
    bool is_referenced; /* by another table's foreign key: it cannot be truncated alone */
};

static bool look_at_target(struct joining *joining, struct err *err)
{
    struct engine *engine = joining->resync->engine;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {joining->table->schema, joining->table->name};
    if (!conn_query_params(engine->keeper,
                           "SELECT c.oid, c.relkind = 'p', EXISTS (SELECT FROM"
                           " pg_catalog.pg_constraint k WHERE k.contype = 'f'"
                           " AND k.confrelid = c.oid AND k.conrelid <> c.oid)"
                           " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
                           " ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"
                           " AND c.relkind IN ('r', 'p')",
                           2, params, &rows, err))
        return false;
    if (rows_count(rows) != 1)
        return err_set(err, ERR_CONFIG, "the target has no such table any more");
    joining->target_oid = rows_oid(rows, 0, 0);
    joining->is_partitioned = rows_bool(rows, 0, 1);
    joining->is_referenced = rows_bool(rows, 0, 2);
    return !joining->is_referenced || postgres_is_replica(joining->target) ||
           err_set(err, ERR_CONFIG,
                   "foreign keys of the target point to it, and cannot be switched off");
}

static bool run(struct target *target, char *take_sql, struct err *err)
{
    AUTO(str_free) char *sql = take_sql;
    return postgres_run(target, sql, err);
}

/* Its old rows go, those beside come. */
static bool replace(struct joining *joining, struct err *err)
{
    const struct recopy_table *table = joining->table;
    const char *keeper = joining->resync->engine->ref.schema;
    AUTO(str_free) char *side = keeper_side_name(table->oid);
    AUTO(str_free) char *to = table->columns[0] ? str_fmt(" (%s)", table->columns) : str_dup("");
    return run(joining->target,
               quote_sql("%s %s%I.%I", joining->is_referenced ? "DELETE FROM" : "TRUNCATE",
                         joining->is_partitioned ? "" : "ONLY ", table->schema, table->name),
               err) &&
           run(joining->target,
               quote_sql("INSERT INTO %I.%I%s OVERRIDING SYSTEM VALUE SELECT %s FROM %I.%I",
                         table->schema, table->name, to, table->columns, keeper, side),
               err) &&
           run(joining->target, quote_sql("DROP TABLE %I.%I", keeper, side), err) &&
           fault_point("resync.replaced", err);
}

static bool apply_piece(struct joining *joining, const struct batch *batch, struct err *err)
{
    const struct change **changes = mem_alloc(batch_count(batch) * sizeof(*changes));
    struct group group = {.changes = changes};
    for (const struct change *change = batch_first(batch); change; change = change->next)
        changes[group.count++] = change;
    bool is_good = joining->target->ops->apply(joining->target, &group, err);
    free(changes);
    return is_good;
}

/* In pieces of the one transaction that is open. */
static bool apply_aside(struct joining *joining, struct err *err)
{
    AUTO(snapshot_release) struct snapshot snapshot = SNAPSHOT_INIT;
    const struct settings *settings = joining->resync->engine->settings;
    if (!snapshot_parse(joining->table->snapshot, &snapshot, err))
        return false;
    for (;;) {
        AUTO(batch_unref) struct batch *batch = NULL;
        if (!aside_next(joining->aside, &snapshot, joining->table->end_lsn,
                        (size_t)settings->group_max_changes, &batch, err))
            return false;
        if (batch_count(batch) == 0)
            return true;
        if (!apply_piece(joining, batch, err))
            return false;
    }
}

/* The session's record of the table is what the keeper is told. */
static bool record(struct joining *joining, struct err *err)
{
    AUTO(str_free)
    char *sql = keeper_rejoin_sql(&joining->resync->engine->ref, joining->kept);
    return postgres_run(joining->target, sql, err);
}

static void learn(struct joining *joining)
{
    struct keeper_table *kept = joining->kept;
    const struct recopy_table *table = joining->table;
    kept->target_oid = joining->target_oid;
    kept->parked_lsn = 0;
    kept->is_resync = false;
    kept->end_lsn = table->end_lsn;
    str_set(&kept->schema, str_dup(table->schema));
    str_set(&kept->name, str_dup(table->name));
    str_set(&kept->signature, str_dup(table->signature));
    str_set(&kept->snapshot, str_dup(table->snapshot));
}

static bool join(struct joining *joining, const struct position *position, struct err *err)
{
    struct group group = {.is_complete = true, .position = *position};
    if (joining->table->timeline != joining->resync->engine->pipeline.timeline)
        return err_set(err, ERR_RETRY, "it was read from another timeline of the source");
    if (!look_at_target(joining, err))
        return false;
    learn(joining);
    return replace(joining, err) && apply_aside(joining, err) && record(joining, err) &&
           fault_point("resync.join", err) &&
           joining->target->ops->apply(joining->target, &group, err) &&
           fault_point("resync.joined", err);
}

static struct keeper_table *find_kept(struct keeper_tables *tables, uint32_t oid)
{
    for (size_t i = 0; i < tables->count; i++)
        if (tables->items[i].oid == oid)
            return &tables->items[i];
    return NULL; /* it was among them when the session began */
}

bool resync_join(struct resync *resync, struct target *target, struct keeper_tables *tables,
                 const struct position *position, struct err *err)
{
    size_t i = 0;
    while (!is_ready(resync, i, position->lsn))
        i++;
    struct joining joining = {
        .resync = resync,
        .table = &resync->tables[i],
        .aside = resync->asides[i],
        .target = target,
        .kept = find_kept(tables, resync->tables[i].oid),
    };
    if (!join(&joining, position, err)) {
        (void)err_wrap(err, "could not replace %s.%s by its new copy", joining.table->schema,
                       joining.table->name);
        return note_failure(resync, joining.table, err);
    }
    log_info("%s.%s has joined again; changes that came meanwhile: %" PRIu64, joining.table->schema,
             joining.table->name, aside_count(joining.aside));
    aside_free(&resync->asides[i]);
    return true;
}
