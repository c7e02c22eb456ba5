/* Tables that come and go while a pipeline exists: at each start its publications and its keeper
 * are brought in step with what is selected. Engine thread.
 *
 * Invariant: with a copy, a table that has come is copied before it is followed (copy.c). Without
 * one it may join only when it is empty while its writers are locked out, or was made as a
 * partition of a published table: what it held before it was published would never reach the
 * target. A table that was taken out of the publication and put back has missed changes: it counts
 * as one that has come. So does one of which only the INSERTs were published, once it has a replica
 * identity; and with publish_via_root one that was attached or detached (route.h). */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "check/check.h"
#include "pg/quote.h"
#include "pipeline/engine.h"
#include "pipeline/route.h"
#include "source/publication.h"

enum { NAMES_SHOWN = 10 };

struct step {
    struct engine *engine;
    struct conn *source; /* borrowed: the engine's */
    bool is_first;
    struct table_list tables; /* selected, of the source */
    struct table_list target; /* of the target */
    struct keeper_tables kept;
    bool *is_carried; /* by the publications, before they are brought in step */
    bool *is_late;    /* holds rows from before it could be published */
    bool *is_looked_at;
    char *snapshot; /* S and L of those that were looked at and are empty */
    uint64_t end_lsn;
};

static void step_release(struct step *step)
{
    table_list_release(&step->tables);
    table_list_release(&step->target);
    keeper_tables_release(&step->kept);
    free(step->is_carried);
    free(step->is_late);
    free(step->is_looked_at);
    free(step->snapshot);
}

/* For an error text: the first few of the tables that are marked, and how many more. Owned. */
static char *names_of(const struct step *step, const bool *is_marked)
{
    struct buf text = BUF_INIT;
    size_t count = 0;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        if (is_marked[i] && count++ < NAMES_SHOWN)
            buf_fmt(&text, "%s%s.%s", text.len ? ", " : "", table->schema, table->name);
    }
    if (count > NAMES_SHOWN)
        buf_fmt(&text, " and %zu more", count - NAMES_SHOWN);
    return buf_take(&text);
}

static void free_flags(bool **flags)
{
    free(*flags);
}

static bool *flags_new(const struct step *step)
{
    return mem_alloc(step->tables.count + 1);
}

static bool has_rows(struct conn *conn, const struct table *table, bool *ret_has, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql(table->kind == 'p' ? "SELECT FROM %I.%I LIMIT 1"
                                             : "SELECT FROM ONLY %I.%I LIMIT 1",
                          table->schema, table->name);
    if (!conn_query(conn, sql, &rows, err))
        return false;
    *ret_has = rows_count(rows) > 0;
    return true;
}

/* The target's table of its rows; NULL: there is none. */
static const struct table *goal_of(const struct step *step, const struct table *table)
{
    return table_list_goal(&step->target, table, step->engine->settings->publish_via_root);
}

/* Whether rows of tables that are followed are in it already: of other partitions. */
static bool is_shared(const struct step *step, const struct table *to)
{
    for (size_t i = 0; i < step->kept.count; i++)
        if (step->kept.items[i].target_oid == to->oid)
            return step->engine->settings->publish_via_root;
    return false;
}

static bool is_new(const struct step *step, size_t i)
{
    const struct table *table = &step->tables.items[i];
    return table->kind == 'r' && !keeper_table_find(&step->kept, table->oid);
}

/* A published table that has lost its identity, or has one again: what it changed in between has
 * not come. */
static bool judge_identity(const struct step *step, const struct keeper_table *kept,
                           const struct table *table, struct err *err)
{
    struct engine *engine = step->engine;
    bool has_copy = engine->settings->mode != MODE_REPLICATION;
    bool is_insert_only = engine_is_insert_only(&step->tables, table);
    if (is_insert_only == kept->is_insert_only)
        return true;
    if (!is_insert_only)
        log_warn("%s.%s has a replica identity again, and has missed UPDATEs and DELETEs: %s",
                 kept->schema, kept->name, has_copy ? "it is copied again" : "run verify");
    return !is_insert_only && has_copy
               ? keeper_restart_table(engine->keeper, &engine->ref, kept->oid, err)
               : keeper_set_insert_only(engine->keeper, &engine->ref, kept->oid, is_insert_only,
                                        err);
}

/* A partition that was dropped with its root's table still there: what the stream carries of it
 * from before belongs into that table, and the keeper's row alone says so. */
static bool is_routed_and_gone(const struct step *step, const struct keeper_table *kept,
                               bool *ret_is_gone, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    *ret_is_gone = false;
    if (!route_is_routed(step->engine, &step->target, kept))
        return true;
    AUTO(str_free)
    char *sql = quote_sql("SELECT FROM pg_catalog.pg_class WHERE oid = %u", kept->oid);
    if (!conn_query(step->source, sql, &rows, err))
        return false;
    *ret_is_gone = rows_count(rows) == 0;
    if (*ret_is_gone)
        log_warn("%s.%s is gone from the source: its rows stay in its root's table on the target",
                 kept->schema, kept->name);
    return true;
}

/* Tables that were followed and are not selected any more, or that were out of the publication for
 * a time (a partition that was detached, somebody's ALTER PUBLICATION): those have missed changes,
 * and are copied again or, without a copy, looked at like new ones. */
static bool judge_kept(const struct step *step, const struct keeper_table *kept, struct err *err)
{
    struct engine *engine = step->engine;
    const struct table *table = table_list_find_oid(&step->tables, kept->oid);
    bool has_copy = engine->settings->mode != MODE_REPLICATION;
    bool is_moved = false, is_gone = false;
    if (!table && !is_routed_and_gone(step, kept, &is_gone, err))
        return false;
    if (is_gone)
        return true;
    if (table &&
        !route_check_moved(engine, &step->target, &step->kept, kept, table, &is_moved, err))
        return false;
    if (is_moved) {
        log_warn(
            "%s.%s was attached to another table or detached from one: it is copied again, with "
            "all partitions of that table",
            kept->schema, kept->name);
        return keeper_forget_table(engine->keeper, &engine->ref, kept->oid, err);
    }
    if (table && (table->persistence != 'p' || step->is_carried[table - step->tables.items]))
        return judge_identity(step, kept, table, err);
    if (table && has_copy) {
        log_warn(
            "%s.%s was taken out of the publication and has missed changes: it is copied again",
            kept->schema, kept->name);
        return keeper_restart_table(engine->keeper, &engine->ref, kept->oid, err);
    }
    log_warn("%s.%s %s%s", kept->schema, kept->name,
             table ? "was taken out of the publication and has missed changes"
                   : "is gone from the source or not selected any more: it is not followed",
             route_is_routed(engine, &step->target, kept)
                 ? ", and its rows stay in its root's table on the target"
                 : "");
    return keeper_forget_table(engine->keeper, &engine->ref, kept->oid, err);
}

/* Not before the stream has passed the copy's end: until then their S and L judge its changes. */
static bool forget_gone(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    AUTO(str_free) char *patterns = selection_text(engine->settings);
    for (size_t i = 0; i < step->kept.count && engine->pipeline.consistent_from; i++)
        if (!judge_kept(step, &step->kept.items[i], err))
            return false;
    keeper_tables_release(&step->kept);
    if (!keeper_tables(engine->keeper, &engine->ref, &step->kept, err))
        return false;
    return strcmp(engine->pipeline.patterns, patterns) == 0 ||
           keeper_set_patterns(engine->keeper, &engine->ref, patterns, err);
}

/* Whether a column has another type there (a wider one): then the stream must carry text. */
static bool has_other_types(const struct table *table, const struct table *to)
{
    for (size_t i = 0; to && i < table->column_count; i++) {
        const struct column *column = table_column(to, table->columns[i].name);
        if (column && strcmp(column->type_name, table->columns[i].type_name) != 0)
            return true;
    }
    return false;
}

static void note_types(struct step *step)
{
    for (size_t i = 0; i < step->tables.count; i++)
        if (has_other_types(&step->tables.items[i], goal_of(step, &step->tables.items[i])))
            step->engine->wants_text = true;
}

static bool read_target(struct engine *engine, struct table_list *ret_tables, struct err *err)
{
    if (!engine->has_seen)
        return catalog_tables(engine->keeper, engine->ref.schema, ret_tables, err);
    *ret_tables = engine->seen_target;
    engine->seen_target = TABLE_LIST_INIT;
    engine->has_seen = false;
    return true;
}

static bool step_open(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    if (!engine_source(engine, err) || !engine_look_publications(engine, engine->source, err))
        return false;
    step->source = engine->source;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    if (!engine_identified(engine, step->source, &step->tables, err) ||
        !read_target(engine, &step->target, err) ||
        !keeper_tables(engine->keeper, &engine->ref, &step->kept, err) ||
        !publication_carries(step->source, names, &step->tables, &step->is_carried, err))
        return false;
    note_types(step);
    step->is_late = flags_new(step);
    step->is_looked_at = flags_new(step);
    return true;
}

/* Made as a partition of a table that is published: all its rows are in the stream. A column of
 * such a one was written inherited by the command that wrote the table's type; ATTACH writes all of
 * them anew, be it in the same transaction. (Columns with a default are written twice: a table of
 * such ones only does not pass.) So it must be all the way up to the root. */
static bool was_born_partition(struct step *step, const struct table *table, bool *ret_was,
                               struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT bool_and(EXISTS (SELECT FROM pg_catalog.pg_attribute a"
                          "  WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attinhcount = 1"
                          "  AND a.xmin = t.xmin AND a.cmin = t.cmin))"
                          " FROM pg_catalog.pg_class c"
                          " JOIN pg_catalog.pg_type t ON t.oid = c.reltype"
                          " WHERE c.relispartition AND c.oid IN"
                          "  (SELECT relid FROM pg_catalog.pg_partition_ancestors(%u))",
                          table->oid);
    if (!conn_query(step->source, sql, &rows, err))
        return false;
    *ret_was = rows_bool(rows, 0, 0);
    return true;
}

/* --- with a copy --- */

static bool refuse_filled(const struct step *step, struct err *err)
{
    AUTO(free_flags) bool *is_filled = flags_new(step);
    bool has_some = false;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        const struct table *to = goal_of(step, table);
        if (is_new(step, i) && to && !is_shared(step, to) &&
            !has_rows(step->engine->keeper, to, &is_filled[i], err))
            return false;
        has_some = has_some || is_filled[i];
    }
    if (!has_some)
        return true;
    AUTO(str_free) char *names = names_of(step, is_filled);
    (void)err_set(err, ERR_CONFIG,
                  "tables have come to the source whose namesakes on the target hold rows already: "
                  "%.600s",
                  names);
    return err_hint(err, "empty or drop them on the target, or leave them out with "
                         "--excluded-tables");
}

/* A partition that was made in a published root, and goes into its root's table: nothing of it is
 * to be copied, nothing of its stream is skipped. */
static bool join_born(struct step *step, const struct table *table, const struct table *to,
                      uint64_t end, struct err *err)
{
    struct engine *engine = step->engine;
    AUTO(str_free) char *signature = table_signature(table);
    struct keeper_table plan = {
        .oid = table->oid,
        .target_oid = to->oid,
        .schema = table->schema,
        .name = table->name,
        .snapshot = (char[]){"1:1:"},
        .end_lsn = end, /* the schema copy is to look at it once */
        .signature = signature,
        .is_insert_only = engine_is_insert_only(&step->tables, table),
    };
    AUTO(keeper_plan_release)
    struct keeper_plan plans = {.conn = engine->keeper, .ref = &engine->ref};
    return keeper_plan_table(&plans, &plan, 0, err) && keeper_plan_end(&plans, err);
}

static bool join_all_born(struct step *step, size_t *ret_count, struct err *err)
{
    struct engine *engine = step->engine;
    AUTO(rows_free) struct rows *rows = NULL;
    *ret_count = 0;
    if (!engine->settings->publish_via_root)
        return true;
    if (!conn_query(step->source, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return false;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        const struct table *to = goal_of(step, table);
        bool was_born = false;
        if (!is_new(step, i) || !table->root_name || !to || !step->is_carried[i])
            continue;
        if (!was_born_partition(step, table, &was_born, err) ||
            (was_born && !join_born(step, table, to, rows_lsn(rows, 0, 0), err)))
            return false;
        *ret_count += was_born;
    }
    keeper_tables_release(&step->kept);
    return keeper_finish_tables(engine->keeper, &engine->ref, err) &&
           keeper_tables(engine->keeper, &engine->ref, &step->kept, err);
}

/* New tables go through the copy: published, waited for, read under a snapshot of their own. */
static bool step_with_copy(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    size_t count = 0;
    if (!join_all_born(step, &count, err))
        return false;
    for (size_t i = 0; i < step->tables.count; i++)
        count += is_new(step, i);
    for (size_t i = 0; i < step->kept.count; i++)
        count += !step->kept.items[i].is_copied;
    if (!count)
        return engine_publish_tables(engine, step->source, &step->tables, err);
    if (!refuse_filled(step, err))
        return false;
    log_info("%zu tables have come or missed changes: copying them", count);
    engine->pipeline.phase = KEEPER_SLOT;
    return keeper_set_phase(engine->keeper, &engine->ref, KEEPER_SLOT, err);
}

/* --- without a copy --- */

static bool refuse_missing(const struct step *step, struct err *err)
{
    AUTO(free_flags) bool *is_missing = flags_new(step);
    bool has_some = false;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        is_missing[i] = is_new(step, i) && !goal_of(step, table);
        has_some = has_some || is_missing[i];
    }
    if (!has_some)
        return true;
    AUTO(str_free) char *names = names_of(step, is_missing);
    (void)err_set(err, ERR_CONFIG, "the target lacks tables of the source: %.600s", names);
    return err_hint(err, "create them there (trunkline snapshot --schema-only does), or copy the "
                         "rows as well with mode snapshot_and_replication, or leave them out with "
                         "--excluded-tables");
}

/* Whether its rows must be looked at before it may join. */
static bool must_be_empty(struct step *step, size_t i, bool *ret_must, struct err *err)
{
    const struct table *table = &step->tables.items[i];
    bool was_born = false;
    *ret_must = false;
    if (table->kind != 'r' || table->persistence != 'p' || (step->is_carried[i] && step->is_first))
        return true;
    if (!step->is_carried[i]) {
        *ret_must = true;
        return true;
    }
    if (!is_new(step, i))
        return true;
    if (table->is_partition && !was_born_partition(step, table, &was_born, err))
        return false;
    *ret_must = !was_born;
    return true;
}

/* Locks it against writers, then looks. One that somebody else holds for long counts as filled, as
 * one does whose namesake on the target holds rows: of a table that is no more. */
static bool look_locked(struct step *step, size_t i, struct err *err)
{
    const struct table *table = &step->tables.items[i];
    const struct table *to = goal_of(step, table);
    struct err why = {0};
    if (!step->is_first && to && !is_shared(step, to) &&
        !has_rows(step->engine->keeper, to, &step->is_late[i], err))
        return false;
    if (step->is_late[i])
        return true;
    if (!conn_exec(step->source, "SAVEPOINT look", err))
        return false;
    step->is_looked_at[i] = true;
    if (conn_execf(step->source, &why, "LOCK TABLE ONLY %I.%I IN SHARE ROW EXCLUSIVE MODE",
                   table->schema, table->name) &&
        has_rows(step->source, table, &step->is_late[i], &why))
        return true;
    if (strcmp(why.sqlstate, "55P03") != 0) {
        (void)err_copy(err, &why);
        return err_wrap(err, "could not publish %s.%s", table->schema, table->name);
    }
    step->is_late[i] = true;
    return conn_exec(step->source, "ROLLBACK TO look", err);
}

/* In the transaction that publishes them. */
static bool find_late(struct step *step, struct err *err)
{
    bool has_some = false;
    for (size_t i = 0; i < step->tables.count; i++) {
        bool must = false;
        if (!must_be_empty(step, i, &must, err) || (must && !look_locked(step, i, err)))
            return false;
        has_some = has_some || step->is_late[i];
    }
    /* What was written to them until now is visible, and nobody writes: S and L of those that join
     */
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(step->source,
                    "SELECT pg_catalog.pg_current_snapshot(),"
                    " pg_catalog.pg_current_wal_insert_lsn()",
                    &rows, err))
        return false;
    str_set(&step->snapshot, str_dup(rows_text(rows, 0, 0)));
    step->end_lsn = rows_lsn(rows, 0, 1);
    if (!has_some)
        return true;
    AUTO(str_free) char *names = names_of(step, step->is_late);
    (void)err_set(err, ERR_CONFIG,
                  "tables hold rows from before they were published, which would never reach the "
                  "target, or are locked: %.500s",
                  names);
    (void)err_hint(err, "copy them as well with mode snapshot_and_replication, or leave them out "
                        "with --excluded-tables");
    if (step->is_first)
        return false;
    log_warn("not followed: %s", err->text);
    *err = (struct err){0};
    return true;
}

/* The columns as they are recorded: where one's type on the target is neither the same nor wider,
 * nothing, so that the stream refuses it. */
static char *signature_for(const struct table *table, const struct table *to)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        const struct column *there = to ? table_column(to, column->name) : NULL;
        if (!there ||
            (strcmp(column->type_full, there->type_full) != 0 && !check_is_wider(column, there)))
            return str_dup("");
    }
    return table_signature(table);
}

/* Of those that were published all along nothing of their stream is skipped: L is 0. Their columns
 * are compared with the target's. */
static bool record_followed(const struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    AUTO(keeper_plan_release)
    struct keeper_plan plans = {.conn = engine->keeper, .ref = &engine->ref};
    uint64_t joined = 0; /* the target is a state of the source from the last such L on */
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        const struct table *to = goal_of(step, table);
        AUTO(str_free) char *signature = signature_for(table, to);
        struct keeper_table plan = {
            .oid = table->oid,
            .target_oid = to ? to->oid : 0,
            .schema = table->schema,
            .name = table->name,
            .snapshot = step->is_looked_at[i] ? step->snapshot : (char[]){"1:1:"},
            .end_lsn = step->is_looked_at[i] ? step->end_lsn : 0,
            .signature = signature,
            .is_insert_only = engine_is_insert_only(&step->tables, table),
        };
        if (!is_new(step, i) || step->is_late[i])
            continue;
        joined = MAX_OF(joined, plan.end_lsn);
        if (!keeper_plan_table(&plans, &plan, 0, err))
            return false;
    }
    return keeper_plan_end(&plans, err) &&
           keeper_finish_tables(engine->keeper, &engine->ref, err) &&
           (joined <= engine->pipeline.consistent_from ||
            keeper_set_consistent(engine->keeper, &engine->ref, joined, err));
}

/* Late tables that our publication does not carry stay out of it; of the others the applier leaves
 * the changes out. */
static bool publish_in_time(struct step *step, struct err *err)
{
    struct table_list in_time = {
        .items = mem_alloc((step->tables.count + 1) * sizeof(*step->tables.items))};
    for (size_t i = 0; i < step->tables.count; i++) /* shallow copies: the names stay the step's */
        if (!step->is_late[i] || step->is_carried[i])
            in_time.items[in_time.count++] = step->tables.items[i];
    bool is_good = engine_publish_tables(step->engine, step->source, &in_time, err);
    free(in_time.items);
    return is_good;
}

/* Recorded before the locks go: their writers find them followed. */
static bool step_without_copy(struct step *step, struct err *err)
{
    return refuse_missing(step, err) &&
           conn_execf(step->source, err, "BEGIN; SET LOCAL lock_timeout = %d",
                      (int)step->engine->settings->identity_lock_timeout_ms) &&
           find_late(step, err) && record_followed(step, err) && publish_in_time(step, err) &&
           conn_exec(step->source, "COMMIT", err);
}

bool engine_step(struct engine *engine, bool is_first, struct err *err)
{
    AUTO(step_release) struct step step = {.engine = engine, .is_first = is_first};
    if (!step_open(&step, err) || !forget_gone(&step, err))
        return false;
    return engine->settings->mode == MODE_REPLICATION ? step_without_copy(&step, err)
                                                      : step_with_copy(&step, err);
}

/* --- strangers: relations of the stream that the keeper does not know --- */

static enum stranger judge_stranger(const struct engine *engine, uint32_t oid)
{
    for (size_t i = 0; i < engine->stranger_count; i++)
        if (engine->strangers[i].oid == oid)
            return engine->strangers[i].is_skipped ? STRANGER_SKIPPED : STRANGER_APPLIED;
    return STRANGER_NEW;
}

enum stranger engine_stranger(struct engine *engine, uint32_t oid)
{
    enum stranger judgement = judge_stranger(engine, oid);
    if (judgement == STRANGER_NEW)
        engine->newcomer = oid;
    return judgement;
}

/* One that is there but was not taken in is not ours to follow; one that is gone is judged by the
 * snapshot of the schema copy, and applied by its name. */
static bool note_stranger(struct engine *engine, uint32_t oid, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c"
                          " WHERE c.oid = %u AND c.relkind = 'r'",
                          oid);
    if (!engine_connect(engine, true, "prepare", &source, err) ||
        !conn_query(source, sql, &rows, err))
        return false;
    bool is_skipped = rows_count(rows) > 0;
    if (is_skipped)
        log_warn("changes of %s, which is not followed, are left out", rows_text(rows, 0, 0));
    engine->strangers =
        mem_resize(engine->strangers, engine->stranger_count + 1, sizeof(*engine->strangers));
    engine->strangers[engine->stranger_count++] =
        (struct known_stranger){.oid = oid, .is_skipped = is_skipped};
    return true;
}

bool engine_take_in(struct engine *engine, struct err *err)
{
    AUTO(keeper_tables_release) struct keeper_tables kept = KEEPER_TABLES_INIT;
    uint32_t oid = engine->newcomer;
    if (!engine_step(engine, false, err) ||
        !keeper_tables(engine->keeper, &engine->ref, &kept, err))
        return false;
    bool is_to_come = engine->pipeline.phase == KEEPER_SLOT && engine->to_come != oid;
    engine->to_come = oid;
    if (!is_to_come && !keeper_table_find(&kept, oid) && !note_stranger(engine, oid, err))
        return false;
    engine->newcomer = 0;
    return true;
}
