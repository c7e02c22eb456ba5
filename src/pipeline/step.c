/* Tables that come and go while a pipeline exists: at each start its publications and its keeper
 * are brought in step with what is selected. Engine thread.
 *
 * Invariant: with a copy, a table that has come is copied before it is followed (copy.c). Without
 * one it may join only when it is empty while its writers are locked out: what it held before it
 * was published would never reach the target. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pipeline/engine.h"
#include "source/publication.h"

enum { NAMES_SHOWN = 10 };

struct step {
    struct engine *engine;
    struct conn *source;
    bool is_first;
    struct table_list tables; /* selected, of the source */
    struct table_list target; /* of the target */
    struct keeper_tables kept;
    bool *is_carried; /* by the publications, before they are brought in step */
    bool *is_late;    /* holds rows from before it could be published */
};

static void step_release(struct step *step)
{
    conn_free(&step->source);
    table_list_release(&step->tables);
    table_list_release(&step->target);
    keeper_tables_release(&step->kept);
    free(step->is_carried);
    free(step->is_late);
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
    char *sql = quote_sql("SELECT FROM ONLY %I.%I LIMIT 1", table->schema, table->name);
    if (!conn_query(conn, sql, &rows, err))
        return false;
    *ret_has = rows_count(rows) > 0;
    return true;
}

static bool is_new(const struct step *step, size_t i)
{
    const struct table *table = &step->tables.items[i];
    return table->kind == 'r' && !keeper_table_find(&step->kept, table->oid);
}

static bool forget_gone(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    AUTO(str_free) char *patterns = selection_text(engine->settings);
    for (size_t i = 0; i < step->kept.count; i++) {
        const struct keeper_table *kept = &step->kept.items[i];
        if (table_list_find_oid(&step->tables, kept->oid))
            continue;
        log_warn("%s.%s is gone from the source or not selected any more: it is not followed",
                 kept->schema, kept->name);
        if (!keeper_forget_table(engine->keeper, &engine->ref, kept->oid, err))
            return false;
    }
    return strcmp(engine->pipeline.patterns, patterns) == 0 ||
           keeper_set_patterns(engine->keeper, &engine->ref, patterns, err);
}

static bool step_open(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    if (!engine_connect(engine, true, "prepare", &step->source, err) ||
        !engine_look_publications(engine, step->source, err))
        return false;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    if (!engine_identified(engine, step->source, &step->tables, err) ||
        !catalog_tables(engine->keeper, engine->ref.schema, &step->target, err) ||
        !keeper_tables(engine->keeper, &engine->ref, &step->kept, err) ||
        !publication_carries(step->source, names, &step->tables, &step->is_carried, err))
        return false;
    step->is_late = flags_new(step);
    return true;
}

/* --- with a copy --- */

static bool refuse_filled(const struct step *step, struct err *err)
{
    AUTO(free_flags) bool *is_filled = flags_new(step);
    bool has_some = false;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        const struct table *to = table_list_find(&step->target, table->schema, table->name);
        if (is_new(step, i) && to && !has_rows(step->engine->keeper, to, &is_filled[i], err))
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

/* New tables go through the copy: published, waited for, read under a snapshot of their own. */
static bool step_with_copy(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    size_t count = 0;
    for (size_t i = 0; i < step->tables.count; i++)
        count += is_new(step, i);
    if (!count)
        return engine_publish_tables(engine, step->source, &step->tables, err);
    if (!refuse_filled(step, err))
        return false;
    log_info("%zu tables have come since: copying them", count);
    schema_tools_release(&engine->tools);
    if (!schema_tools_find(engine->settings->pg_bindir, engine->source_version,
                           engine->target_version, &engine->tools, err))
        return false;
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
        is_missing[i] =
            is_new(step, i) && !table_list_find(&step->target, table->schema, table->name);
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

/* In the transaction that publishes them: locks those that join against writers, then looks. */
static bool find_late(struct step *step, struct err *err)
{
    bool has_some = false;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        if (table->kind != 'r' || table->persistence != 'p' || step->is_carried[i])
            continue;
        if (!conn_execf(step->source, err, "LOCK TABLE ONLY %I.%I IN SHARE ROW EXCLUSIVE MODE",
                        table->schema, table->name) ||
            !has_rows(step->source, table, &step->is_late[i], err))
            return err_wrap(err, "could not publish %s.%s", table->schema, table->name);
        has_some = has_some || step->is_late[i];
    }
    if (!has_some)
        return true;
    AUTO(str_free) char *names = names_of(step, step->is_late);
    (void)err_set(err, ERR_CONFIG,
                  "tables hold rows from before they were published, which would never reach the "
                  "target: %.500s",
                  names);
    (void)err_hint(err, "copy them as well with mode snapshot_and_replication, or leave them out "
                        "with --excluded-tables");
    if (step->is_first)
        return false;
    log_warn("not followed: %s", err->text);
    *err = (struct err){0};
    return true;
}

static bool is_in_time(const struct table *table, void *arg)
{
    const struct step *step = arg;
    return !step->is_late[table - step->tables.items];
}

/* Nothing of their stream is skipped: L is 0. Their columns are compared with the target's. */
static bool record_followed(const struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    for (size_t i = 0; i < step->tables.count; i++) {
        const struct table *table = &step->tables.items[i];
        const struct table *to = table_list_find(&step->target, table->schema, table->name);
        struct keeper_table plan = {
            .oid = table->oid,
            .target_oid = to ? to->oid : 0,
            .schema = table->schema,
            .name = table->name,
            .snapshot = (char[]){"1:1:"},
            .signature = (char[]){""},
            .is_insert_only = engine_is_insert_only(&step->tables, table),
        };
        if (is_new(step, i) && !keeper_plan_table(engine->keeper, &engine->ref, &plan, 0, err))
            return false;
    }
    return keeper_finish_tables(engine->keeper, &engine->ref, err);
}

static bool publish_in_time(struct step *step, struct err *err)
{
    struct engine *engine = step->engine;
    if (!conn_execf(step->source, err, "BEGIN; SET LOCAL lock_timeout = %d",
                    (int)engine->settings->identity_lock_timeout_ms) ||
        !find_late(step, err))
        return false;
    table_list_filter(&step->tables, is_in_time, step);
    return engine_publish_tables(engine, step->source, &step->tables, err) &&
           conn_exec(step->source, "COMMIT", err);
}

static bool step_without_copy(struct step *step, struct err *err)
{
    bool is_ours = step->engine->settings->publication_name[0] == '\0';
    return refuse_missing(step, err) && (!is_ours || publish_in_time(step, err)) &&
           record_followed(step, err);
}

bool engine_step(struct engine *engine, bool is_first, struct err *err)
{
    AUTO(step_release) struct step step = {.engine = engine, .is_first = is_first};
    if (!step_open(&step, err) || !forget_gone(&step, err))
        return false;
    return engine->settings->mode == MODE_REPLICATION ? step_without_copy(&step, err)
                                                      : step_with_copy(&step, err);
}
