/* The copy: schema, rows, indexes; then, when the stream has passed its end, the foreign keys.
 *
 * One attempt works under one snapshot. Tables that it finds changed (truncated, rewritten,
 * altered), or that a lost connection leaves unfinished, start again under the next attempt's;
 * finished tables are never copied again. Each table's S and L are stored before its first part. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pg/types.h"
#include "pipeline/attempt.h"
#include "pipeline/copier.h"
#include "pipeline/large_objects.h"
#include "pipeline/history.h"
#include "pipeline/route.h"
#include "schema/fingerprint.h"

enum { ATTEMPTS_MAX = 50 };

void attempt_release(struct attempt *attempt)
{
    hold_release(&attempt->hold);
    conn_free(&attempt->fresh);
    table_list_release(&attempt->tables);
    table_list_release(&attempt->found);
    table_list_release(&attempt->target);
    keeper_tables_release(&attempt->kept);
    part_list_release(&attempt->parts);
    schema_job_release(&attempt->job);
}

/* --- what is to be copied --- */

static bool is_finished(const struct attempt *attempt, uint32_t oid)
{
    const struct keeper_table *kept = keeper_table_find(&attempt->kept, oid);
    return kept && kept->is_copied;
}

/* A pipeline that follows copies tables that have come since. */
static bool is_adding(const struct attempt *attempt)
{
    return attempt->engine->pipeline.consistent_from != 0;
}

/* The others are none of its business any more, whatever has become of them. */
static bool is_left_alone(const struct attempt *attempt, const struct keeper_table *kept)
{
    return is_adding(attempt) && kept->is_copied &&
           kept->end_lsn <= attempt->engine->pipeline.consistent_from;
}

static bool is_copys(const struct attempt *attempt, uint32_t oid)
{
    const struct keeper_table *kept = keeper_table_find(&attempt->kept, oid);
    return !kept || !is_left_alone(attempt, kept);
}

struct wanted {
    const struct attempt *attempt;
    const struct rows *references; /* referring and referenced table of each foreign key */
};

/* The tables of the copy, and those that foreign keys tie to them: the keys come with both. */
static bool is_wanted(const struct table *table, void *arg)
{
    const struct wanted *wanted = arg;
    bool is_tied = is_copys(wanted->attempt, table->oid);
    for (int i = 0; i < rows_count(wanted->references) && !is_tied; i++) {
        uint32_t from = rows_oid(wanted->references, i, 0);
        uint32_t to = rows_oid(wanted->references, i, 1);
        is_tied = (from == table->oid && is_copys(wanted->attempt, to)) ||
                  (to == table->oid && is_copys(wanted->attempt, from));
    }
    return is_tied;
}

static bool leave_followed(struct attempt *attempt, struct err *err)
{
    AUTO(rows_free) struct rows *references = NULL;
    if (!is_adding(attempt))
        return true;
    if (!conn_query(attempt->hold.conn,
                    "SELECT conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'",
                    &references, err))
        return err_wrap(err, "could not read the foreign keys");
    struct wanted wanted = {attempt, references};
    table_list_filter(&attempt->tables, is_wanted, &wanted);
    return true;
}

bool attempt_read_tables(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    if (!engine_tables(engine, attempt->hold.conn, &attempt->tables, err) ||
        !engine_filter_published(engine, attempt->hold.conn, &attempt->tables, &attempt->lacks_some,
                                 err))
        return false;
    return leave_followed(attempt, err) &&
           catalog_measure(attempt->hold.conn, &attempt->tables, err) &&
           catalog_tables(engine->keeper, engine->ref.schema, &attempt->found, err);
}

/* --- the snapshot --- */

/* The tables that this attempt will read, those made since the last one too: published first, so
 * that nothing falls between snapshot and stream. Their OIDs, for the wait for their writers. */
static bool unfinished_oids(struct attempt *attempt, struct buf *oids, struct err *err)
{
    AUTO(table_list_release) struct table_list now = TABLE_LIST_INIT;
    bool unused = false;
    if (!engine_publish(attempt->engine, attempt->fresh, &now, err) ||
        !route_restart(attempt->engine, &now, &attempt->kept, &unused, err))
        return false;
    buf_putc(oids, '{');
    for (size_t i = 0; i < now.count; i++) {
        const struct table *table = &now.items[i];
        if (is_finished(attempt, table->oid))
            continue;
        buf_fmt(oids, "%s%u", oids->len > 1 ? "," : "", table->oid);
    }
    buf_putc(oids, '}');
    return true;
}

static bool take_snapshot(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    if (engine->creator)
        return hold_created(engine, &attempt->hold, err);
    return unfinished_oids(attempt, &oids, err) && hold_new(engine, oids.data, &attempt->hold, err);
}

/* --- the schema --- */

static void log_lists(struct schema_job *job)
{
    for (size_t i = 0; i < job->left_out.count; i++)
        log_info("left out: %s", job->left_out.items[i]);
    for (size_t i = 0; i < job->warnings.count; i++)
        log_warn("%s", job->warnings.items[i]);
    strv_release(&job->left_out);
    strv_release(&job->warnings);
}

static void fill_job(struct attempt *attempt)
{
    struct engine *engine = attempt->engine;
    attempt->job = (struct schema_job){
        .source_url = engine->settings->source,
        .target_url = engine->settings->target,
        .pipeline = engine->slot,
        .keeper = engine->ref.schema,
        .work_dir = engine->work_dir,
        .tools = &engine->tools,
        .selected =
            !selection_is_all(&engine->selection) || attempt->lacks_some || is_adding(attempt)
                ? &attempt->tables
                : NULL,
        .stop = engine->hard,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .index_memory = engine->settings->index_memory,
        .without_owners = engine->settings->no_owner,
        .without_privileges = engine->settings->no_privileges,
        .without_refresh =
            engine->settings->no_refresh || engine->settings->snapshot_content == SNAPSHOT_SCHEMA,
    };
}

/* pg_dump reads some definitions from the catalog of now, whatever its snapshot: when DDL ran in
 * between, its result is thrown away. */
bool attempt_dump(struct attempt *attempt, bool *ret_is_good, struct err *err)
{
    AUTO(str_free) char *then = NULL;
    AUTO(str_free) char *now = NULL;
    fill_job(attempt);
    /* pg_dump itself may stumble over what has changed: only without a change is it an error. */
    struct err failure = {0};
    bool is_dumped = schema_dump(&attempt->job, attempt->fresh, attempt->hold.exported, &failure);
    if (!is_dumped && failure.kind != ERR_FATAL)
        return err_copy(err, &failure);
    if (!fault_point("schema.dumped", err) ||
        !schema_fingerprint(attempt->hold.conn, attempt->engine->ref.schema, &then, err) ||
        !schema_fingerprint(attempt->fresh, attempt->engine->ref.schema, &now, err))
        return false;
    log_lists(&attempt->job);
    *ret_is_good = strcmp(then, now) == 0;
    if (*ret_is_good && !is_dumped)
        return err_copy(err, &failure);
    if (!*ret_is_good)
        log_info("the schema has changed since the snapshot: starting again with a new one");
    return !*ret_is_good || schema_dump_keep(&attempt->job, err);
}

bool attempt_restore(struct attempt *attempt, enum schema_stage stage, struct err *err)
{
    if (stage == SCHEMA_INDEXES && !copiers_count(attempt->engine, &attempt->job.jobs, err))
        return false;
    AUTO(buf_release) struct buf own = BUF_INIT;
    if (!route_find_own(attempt->engine, attempt->fresh, &attempt->tables, &own, err))
        return false;
    attempt->job.left_alone = own.len ? own.data : NULL;
    bool is_good = schema_restore(&attempt->job, attempt->engine->keeper, stage, err);
    attempt->job.left_alone = NULL;
    log_lists(&attempt->job);
    return is_good;
}

/* Whether the source's table is still what the keeper recorded when it was planned. */
static bool is_as_planned(const struct attempt *attempt, const struct keeper_table *kept)
{
    const struct table *now = table_list_find_oid(&attempt->tables, kept->oid);
    AUTO(str_free) char *signature = now ? table_signature(now) : NULL;
    return now && strcmp(signature, kept->signature) == 0 &&
           strcmp(now->schema, kept->schema) == 0 && strcmp(now->name, kept->name) == 0;
}

/* A table that was altered or renamed since, finished or not, is made anew: what the copy itself
 * made of it goes. What depended on it goes as well and comes back with the restore. */
static bool drop_altered(struct attempt *attempt, struct err *err)
{
    for (size_t i = 0; i < attempt->kept.count; i++) {
        const struct keeper_table *kept = &attempt->kept.items[i];
        if (!kept->is_ours || is_left_alone(attempt, kept) || is_as_planned(attempt, kept))
            continue;
        log_info("%s.%s was altered or dropped while the copy ran: dropping what was made of it",
                 kept->schema, kept->name);
        if (!conn_execf(attempt->engine->keeper, err, "DROP TABLE IF EXISTS %I.%I CASCADE",
                        kept->schema, kept->name))
            return false;
    }
    return true;
}

/* Such tables are not finished any more, nor are those that went with them (a partition with its
 * root). */
static bool forget_dropped(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    AUTO(table_list_release) struct table_list there = TABLE_LIST_INIT;
    if (!catalog_tables(engine->keeper, engine->ref.schema, &there, err))
        return false;
    for (size_t i = 0; i < attempt->kept.count; i++) {
        struct keeper_table *kept = &attempt->kept.items[i];
        bool is_there = table_list_find(&there, kept->schema, kept->name) ||
                        route_is_routed(engine, &there, kept);
        if (is_left_alone(attempt, kept) || (is_there && is_as_planned(attempt, kept)))
            continue;
        kept->is_copied = false;
        if (!keeper_forget_table(engine->keeper, &engine->ref, kept->oid, err))
            return false;
    }
    return true;
}

static bool restore_tables(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    if (!drop_altered(attempt, err) || !forget_dropped(attempt, err) ||
        !route_restart(engine, &attempt->tables, &attempt->kept, &attempt->lacks_some, err))
        return false;
    if (attempt->lacks_some)
        return true;
    return attempt_restore(attempt, SCHEMA_TABLES, err) && fault_point("schema.restored", err) &&
           keeper_set_schema(engine->keeper, &engine->ref, attempt->hold.snapshot,
                             attempt->hold.end_lsn, err) &&
           catalog_tables(engine->keeper, engine->ref.schema, &attempt->target, err);
}

/* --- the plan --- */

static bool lacks(const struct table *table, const struct column *column, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    quote_add(&sql, "ALTER TABLE %I.%I ADD COLUMN %I %s", table->schema, table->name, column->name,
              column->type_full);
    (void)err_set(err, ERR_CONFIG, "table %s.%s on the target lacks the column \"%s\"",
                  table->schema, table->name, column->name);
    return err_hint(err, "%s; then start again", sql.data);
}

/* Binary when every column's type allows it and is the same on both sides. */
static bool choose_format(const struct table *table, const struct table *to,
                          const struct types *types, bool *ret_is_binary, bool *ret_same_types,
                          struct err *err)
{
    *ret_is_binary = true;
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        const struct column *other = table_column(to, column->name);
        if (column->is_generated)
            continue;
        if (!other)
            return lacks(table, column, err);
        bool is_same = strcmp(column->type_name, other->type_name) == 0;
        *ret_same_types = *ret_same_types && is_same;
        if (!is_same || types_ask(types, column->type_oid) != TYPES_BINARY)
            *ret_is_binary = false;
    }
    return true;
}

/* A table that changed its shape under one snapshot is copied by one session that locks it first,
 * then takes a snapshot of its own: a TRUNCATE waits for that COPY as for any other. (No lock is
 * held by one session while another of ours asks for it: an application's lock in between would
 * block both for ever.) */
static bool is_restless(const struct engine *engine, uint32_t oid)
{
    for (size_t i = 0; i < engine->restless_count; i++)
        if (engine->restless[i] == oid)
            return true;
    return false;
}

static void note_restless(struct attempt *attempt, const bool *is_changed)
{
    struct engine *engine = attempt->engine;
    for (size_t i = 0; i < attempt->tables.count; i++) {
        uint32_t oid = attempt->tables.items[i].oid;
        if (!is_changed[i] || is_restless(engine, oid))
            continue;
        engine->restless = mem_resize(engine->restless, engine->restless_count + 1, sizeof(oid));
        engine->restless[engine->restless_count++] = oid;
    }
}

/* A snapshot's tables must all be of one moment: a restless one is read first instead. */
static int plan_parts(struct attempt *attempt, const struct table *table, bool is_binary,
                      int64_t block_size)
{
    const struct engine *engine = attempt->engine;
    bool has_changed = is_restless(engine, table->oid);
    bool is_routed = route_is_leaf(engine, table); /* whole, under the S of all its root's leaves */
    if (has_changed && !is_routed && engine->settings->mode != MODE_SNAPSHOT) {
        part_plan_restless(&attempt->parts, table, is_binary);
        return 1;
    }
    int count = part_plan(
        &attempt->parts, table, is_binary,
        is_routed ? INT64_MAX / 2 : settings_part_size(engine->settings, block_size), block_size);
    if (has_changed)
        part_list_hurry(&attempt->parts, count);
    return count;
}

/* A root into which leaves are routed is dropped only by a snapshot that starts over: other tables'
 * rows are in it. */
static bool is_made_by_us(const struct attempt *attempt, const struct table *table)
{
    const struct engine *engine = attempt->engine;
    return !table_list_goal(&attempt->found, table, engine->settings->publish_via_root) &&
           (engine->settings->mode == MODE_SNAPSHOT || !route_is_leaf(engine, table));
}

static bool plan_table(struct attempt *attempt, const struct table *table,
                       const struct types *types, int64_t block_size, struct keeper_plan *ret_plan,
                       struct err *err)
{
    struct engine *engine = attempt->engine;
    bool is_binary = true;
    bool has_same_types = true;
    const struct table *to =
        table_list_goal(&attempt->target, table, engine->settings->publish_via_root);
    if (!to) {
        (void)err_set(err, ERR_FATAL, "the target has no table %s.%s after the schema copy",
                      table->schema, table->name);
        return err_hint(err, "create it on the target as it is on the source, then start again");
    }
    if (!choose_format(table, to, types, &is_binary, &has_same_types, err))
        return false;
    if (!has_same_types)
        engine->wants_text = true;
    if (is_finished(attempt, table->oid))
        return true;
    AUTO(str_free) char *signature = table_signature(table);
    const struct keeper_table *kept = keeper_table_find(&attempt->kept, table->oid);
    struct keeper_table plan = {
        .oid = table->oid,
        .target_oid = to->oid,
        .schema = table->schema,
        .name = table->name,
        .snapshot = attempt->hold.snapshot,
        .end_lsn = attempt->hold.end_lsn,
        .signature = signature,
        .is_ours = kept ? kept->is_ours : is_made_by_us(attempt, table),
        .is_insert_only = engine_is_insert_only(&attempt->tables, table),
    };
    int parts = plan_parts(attempt, table, is_binary, block_size);
    part_list_route(&attempt->parts, parts, to);
    return keeper_plan_table(ret_plan, &plan, parts, err);
}

/* What an earlier attempt has copied of unfinished tables goes, in the transaction that plans them
 * anew. A heap without a block holds nothing: most tables need no lock for this. */
static bool empty_tables(struct attempt *attempt, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (attempt->engine->settings->mode == MODE_SNAPSHOT) /* each attempt starts with none */
        return true;
    if (!catalog_measure(attempt->engine->keeper, &attempt->target, err))
        return false;
    for (size_t i = 0; i < attempt->tables.count; i++) {
        const struct table *table = &attempt->tables.items[i];
        const struct table *to =
            table_list_goal(&attempt->target, table, attempt->engine->settings->publish_via_root);
        if (table->kind != 'r' || is_finished(attempt, table->oid) || !to ||
            (to->kind == 'r' && to->bytes == 0))
            continue;
        /* a root may be named once for each of its leaves */
        quote_add(&sql, "%s %s%I.%I", sql.len ? "," : "TRUNCATE", to->kind == 'p' ? "" : "ONLY ",
                  to->schema, to->name);
    }
    return sql.len == 0 || conn_exec(attempt->engine->keeper, sql.data, err);
}

bool attempt_copies(const struct engine *engine, bool is_standby, const struct table *table)
{
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return table->kind == 'r' && !selection_is_schema_only(&engine->selection, &names) &&
           !(is_standby && table->persistence == 'u');
}

static bool plan_all(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    AUTO(types_free) struct types *types = NULL;
    AUTO(str_free) char *block_size = NULL;
    AUTO(keeper_plan_release)
    struct keeper_plan plan = {.conn = engine->keeper, .ref = &engine->ref};
    if (!types_read(attempt->hold.conn, engine->target_version, &types, err) ||
        !conn_text(attempt->hold.conn, "SHOW block_size", &block_size, err) ||
        !empty_tables(attempt, err))
        return false;
    for (size_t i = 0; i < attempt->tables.count; i++)
        if (attempt_copies(engine, attempt->is_standby, &attempt->tables.items[i]) &&
            !plan_table(attempt, &attempt->tables.items[i], types, strtoll(block_size, NULL, 10),
                        &plan, err))
            return false;
    return keeper_plan_end(&plan, err) &&
           keeper_set_phase(engine->keeper, &engine->ref, KEEPER_TABLES, err);
}

static void count_plan(const struct attempt *attempt)
{
    struct metrics *metrics = attempt->engine->metrics;
    size_t tables = 0;
    for (size_t i = 0; i < attempt->parts.count; i++)
        tables += attempt->parts.items[i].number == 0;
    metrics_set(metrics, METRIC_PARTS_TOTAL,
                metrics_get(metrics, METRIC_PARTS_DONE) + attempt->parts.count);
    metrics_set(metrics, METRIC_TABLES_TOTAL, metrics_get(metrics, METRIC_TABLES_DONE) + tables);
    log_info("copying %zu tables in %zu parts", tables, attempt->parts.count);
}

bool attempt_plan(struct attempt *attempt, struct err *err)
{
    struct conn *keeper = attempt->engine->keeper;
    if (!conn_exec(keeper, "BEGIN", err) || !plan_all(attempt, err) ||
        !conn_exec(keeper, "COMMIT", err)) {
        struct err ignored = {0};
        (void)conn_exec(keeper, "ROLLBACK", &ignored);
        return false;
    }
    part_list_sort(&attempt->parts);
    count_plan(attempt);
    return fault_point("copy.planned", err);
}

/* --- one attempt --- */

bool attempt_rows(struct attempt *attempt, bool *ret_is_done, struct err *err)
{
    struct engine *engine = attempt->engine;
    bool *is_changed = mem_alloc(attempt->tables.count + 1);
    bool is_good = copiers_run(engine, &attempt->tables, &attempt->parts, attempt->hold.exported,
                               is_changed, err);
    bool has_changed = memchr(is_changed, true, attempt->tables.count + 1) != NULL;
    note_restless(attempt, is_changed);
    free(is_changed);
    if (!is_good || !keeper_finish_tables(engine->keeper, &engine->ref, err))
        return false;
    *ret_is_done = !has_changed;
    return true;
}

bool attempt_finish(struct attempt *attempt, struct err *err)
{
    return attempt_analyze(attempt, err) && engine_sequences(attempt->engine, err);
}

static bool build_indexes(struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    log_info("building indexes");
    return attempt_restore(attempt, SCHEMA_INDEXES, err) && attempt_finish(attempt, err) &&
           fault_point("copy.indexes_done", err) &&
           keeper_set_phase(engine->keeper, &engine->ref, KEEPER_INDEXES, err);
}

/* *ret_is_done is false when another attempt is needed. */
static bool attempt_once(struct engine *engine, bool *ret_is_done, struct err *err)
{
    AUTO(attempt_release) struct attempt attempt = {.engine = engine};
    bool is_good_dump = false;
    if (!engine_connect(engine, true, "catalog", &attempt.fresh, err) ||
        !keeper_finish_tables(engine->keeper, &engine->ref, err) ||
        (!engine->creator && !history_follow(engine, attempt.fresh, err)) ||
        !keeper_tables(engine->keeper, &engine->ref, &attempt.kept, err) ||
        !take_snapshot(&attempt, err) || !attempt_read_tables(&attempt, err))
        return false;
    if (!attempt.lacks_some &&
        !route_restart(engine, &attempt.tables, &attempt.kept, &attempt.lacks_some, err))
        return false;
    if (attempt
            .lacks_some) /* the next attempt publishes them, and waits for their writers, first */
        return true;
    if (!attempt_dump(&attempt, &is_good_dump, err))
        return false;
    if (!is_good_dump)
        return true;
    if (!restore_tables(&attempt, err))
        return false;
    if (attempt.lacks_some)
        return true;
    if (!attempt_plan(&attempt, err) || !attempt_rows(&attempt, ret_is_done, err))
        return false;
    if (!*ret_is_done)
        return true;
    if (!large_objects_copy(engine, attempt.hold.conn, err))
        return false;
    hold_release(&attempt.hold); /* the source's oldest snapshot need not wait for indexes */
    return keeper_set_phase(engine->keeper, &engine->ref, KEEPER_ROWS, err) &&
           fault_point("copy.rows_done", err) && build_indexes(&attempt, err);
}

bool engine_copy(struct engine *engine, struct err *err)
{
    bool is_done = engine->pipeline.phase >= KEEPER_INDEXES;
    metrics_set(engine->metrics, METRIC_PHASE, METRICS_COPYING);
    for (int rounds = 0; !is_done;) {
        bool is_whole = false;
        *err = (struct err){0};
        if (attempt_once(engine, &is_whole, err)) {
            is_done = is_whole;
            if (is_done)
                engine_recovered(engine);
            if (is_done || ++rounds < ATTEMPTS_MAX)
                continue;
            (void)err_set(err, ERR_FATAL, "the source's schema keeps changing while it is copied");
            return err_hint(err, "start again when no schema changes run");
        }
        conn_free(&engine->creator);
        if (!engine->has_started || !engine_reconnect(engine, err))
            return false;
    }
    return true;
}

/* --- foreign keys --- */

/* The dump of the copy serves when it is still there; after a restart there is a new one. */
static bool dump_for_keys(struct attempt *attempt, struct err *err)
{
    for (bool is_good = false; !is_good;) {
        hold_release(&attempt->hold);
        table_list_release(&attempt->tables);
        table_list_release(&attempt->found);
        if (!hold_new(attempt->engine, "{}", &attempt->hold, err) ||
            !attempt_read_tables(attempt, err))
            return false;
        fill_job(attempt);
        is_good = schema_dump_exists(&attempt->job);
        if (!is_good && !attempt_dump(attempt, &is_good, err))
            return false;
    }
    hold_release(&attempt->hold);
    return true;
}

/* The stream has passed the end of every table's copy. */
static bool record_consistent(const struct attempt *attempt, struct err *err)
{
    struct engine *engine = attempt->engine;
    uint64_t end = engine->pipeline.schema_lsn;
    for (size_t i = 0; i < attempt->kept.count; i++)
        end = MAX_OF(end, attempt->kept.items[i].end_lsn);
    return keeper_set_consistent(engine->keeper, &engine->ref, end, err);
}

/* Whether applied changes fire the target's triggers although they should not: disable_triggers is
 * auto, and the role may not switch them off. */
static bool acts_twice(struct engine *engine, bool *ret_acts, struct err *err)
{
    struct err why = {0}, ignored = {0};
    *ret_acts = false;
    if (engine->settings->disable_triggers != TRIGGERS_AUTO ||
        engine->settings->resumable || /* nothing will be applied any more */
        conn_exec(engine->keeper, "BEGIN; SET LOCAL session_replication_role = replica; ROLLBACK",
                  &why))
        return true;
    if (conn_is_lost(engine->keeper) || !conn_exec(engine->keeper, "ROLLBACK", &ignored))
        return err_copy(err, &why);
    *ret_acts = true;
    log_warn("the target's role may not switch triggers off: foreign keys, triggers and rules are "
             "left out; make them when the target takes over, or GRANT SET ON PARAMETER "
             "session_replication_role to it before the copy");
    return true;
}

static bool keys_once(struct engine *engine, struct err *err)
{
    AUTO(attempt_release) struct attempt attempt = {.engine = engine};
    return engine_connect(engine, true, "catalog", &attempt.fresh, err) &&
           keeper_tables(engine->keeper, &engine->ref, &attempt.kept, err) &&
           dump_for_keys(&attempt, err) && acts_twice(engine, &attempt.job.without_actors, err) &&
           attempt_restore(&attempt, SCHEMA_KEYS, err) && fault_point("copy.keys_done", err) &&
           record_consistent(&attempt, err) &&
           keeper_set_phase(engine->keeper, &engine->ref, KEEPER_FOLLOWING, err);
}

bool engine_keys(struct engine *engine, struct err *err)
{
    log_info("making foreign keys and triggers");
    *err = (struct err){0};
    while (!keys_once(engine, err))
        if (!engine_reconnect(engine, err))
            return false;
    return true;
}
