/* The order of `trunkline status`: connect, ask the target, then the source (so that the position
 * is never newer than the end it is compared with), join both, judge. See status.h. */
#include "status/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/redact.h"
#include "pg/url.h"
#include "source/slot.h"
#include "status/inside.h"

/* Nothing that status asks takes long; what does is held up, and said so. The name does not begin
 * like those of a pipeline's sessions, which an engine may end. */
#define SESSION_NAME "trunkline::status"
#define SESSION_OPTIONS                                         \
    "-c statement_timeout=5000 -c lock_timeout=1000 -c jit=off" \
    " -c default_transaction_read_only=on"

static void reading_release(struct status_reading *reading)
{
    selection_release(&reading->selection);
    conn_free(&reading->source);
    conn_free(&reading->target);
    for (size_t i = 0; i < reading->table_count; i++) {
        free(reading->tables[i].schema);
        free(reading->tables[i].name);
    }
    free(reading->tables);
    keeper_tables_release(&reading->kept);
    keeper_progress_release(&reading->progress);
}

void status_release(struct status *status)
{
    for (size_t i = 0; i < status->table_count; i++) {
        free(status->tables[i].schema);
        free(status->tables[i].name);
    }
    free(status->tables);
    free(status->slot_name);
    free(status->publication);
    free(status->source.url);
    free(status->target.url);
    free(status->keeper_schema);
    slot_state_release(&status->slot);
    keeper_pipeline_release(&status->pipeline);
    keeper_holder_release(&status->engine);
    free(status->inconsistent);
    keeper_parked_list_release(&status->parked);
    wait_list_release(&status->waits);
    strv_release(&status->problems);
    strv_release(&status->warnings);
    *status = (struct status){0};
}

/* --- servers --- */

static void connect_to(struct status_reading *reading, bool is_source)
{
    struct status *status = reading->status;
    const struct settings *settings = status->settings;
    struct status_server *server = is_source ? &status->source : &status->target;
    struct err err = {0};
    struct conn_options options = {
        .url = is_source ? settings->source : settings->target,
        .what = is_source ? "source" : "target",
        .application_name = SESSION_NAME,
        .extra_options = SESSION_OPTIONS,
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)settings->tcp_user_timeout_ms,
    };
    server->is_given = options.url[0] != '\0';
    server->url = redact_url(options.url);
    if (!server->is_given)
        return;
    server->is_reached = conn_open(&options, is_source ? &reading->source : &reading->target, &err);
    if (!server->is_reached)
        strv_add(&status->problems, err.text);
}

/* Asks one side; what goes wrong on the way is a problem of that server. */
static void look(struct status_reading *reading, struct status_server *server,
                 bool (*side)(struct status_reading *, struct err *))
{
    struct err err = {0};
    if (!server->is_reached || side(reading, &err))
        return;
    server->is_reached = false;
    strv_add(&reading->status->problems, err.text);
}

/* What a snapshot keeps while it runs: no slot can have this name. */
static void name_snapshot(struct status *status)
{
    const char *keeper = status->settings->keeper_schema;
    status->slot_name = str_fmt("%s.snapshot", keeper);
    status->publication = str_dup("");
    status->keeper_schema = str_fmt("%.54s_snapshot", keeper);
}

static bool name_pipeline(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    const struct settings *settings = status->settings;
    AUTO(str_free) char *database = NULL;
    struct err ignored = {0};
    if (settings->mode == MODE_SNAPSHOT) {
        name_snapshot(status);
        return true;
    }
    if (!reading->source ||
        !conn_text(reading->source, "SELECT pg_catalog.current_database()", &database, &ignored))
        str_set(&database, url_part(settings->source, "dbname"));
    if (!slot_name(settings->slot, settings->program, database ? database : "", &status->slot_name,
                   err))
        return false;
    status->publication =
        str_dup(settings->publication_name[0] ? settings->publication_name : status->slot_name);
    status->keeper_schema = str_dup(settings->keeper_schema);
    return true;
}

/* --- which tables --- */

/* "a b except c without rows d", as selection_text() makes it. */
static void split_patterns(const char *text, struct strv *tables, struct strv *excluded)
{
    AUTO(str_free) char *copy = str_dup(text);
    char *without = strstr(copy, " without rows ");
    if (without)
        *without = '\0';
    char *except = strstr(copy, " except ");
    if (except) {
        *except = '\0';
        pattern_split(except + strlen(" except "), excluded);
    }
    pattern_split(copy, tables);
}

/* What the user names now; else what the pipeline was made with. */
static bool choose_patterns(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    const struct settings *settings = status->settings;
    AUTO(strv_release) struct strv tables = STRV_INIT;
    AUTO(strv_release) struct strv excluded = STRV_INIT;
    if (settings->tables.count || settings->excluded_tables.count || !status->has_keeper)
        return selection_read(settings, &reading->selection, err);
    split_patterns(status->pipeline.patterns, &tables, &excluded);
    return pattern_list_parse(&tables, &reading->selection.tables, err) &&
           pattern_list_parse(&excluded, &reading->selection.excluded, err);
}

/* --- tables --- */

/* The engine marks a table some time after its last part is recorded. */
static bool is_copied(const struct keeper_table *kept, int64_t parts, int64_t parts_done)
{
    return kept->is_copied || (parts > 0 && parts_done == parts);
}

static enum status_table_state kept_state(const struct status *status,
                                          const struct keeper_table *kept,
                                          const struct status_table *table)
{
    if (!is_copied(kept, table->parts, table->parts_done))
        return table->parts_done ? TABLE_COPYING : TABLE_PLANNED;
    if (kept->parked_lsn)
        return kept->is_resync ? TABLE_RESYNCING : TABLE_PARKED;
    if (status->pipeline.phase != KEEPER_FOLLOWING || status->pipeline.position < kept->end_lsn)
        return TABLE_COPIED;
    return kept->is_insert_only ? TABLE_INSERT_ONLY : TABLE_FOLLOWING;
}

/* A pipeline that never copied has no record of tables: what is published is followed. */
static enum status_table_state state_of(const struct status_reading *reading,
                                        const struct source_table *source,
                                        const struct keeper_table *kept,
                                        const struct status_table *table)
{
    const struct status *status = reading->status;
    bool is_followed = status->has_keeper && status->pipeline.phase == KEEPER_FOLLOWING;
    bool is_once = status->settings->mode == MODE_SNAPSHOT;
    if (kept && (!kept->is_copied || is_once))
        return kept_state(status, kept, table);
    if (source->is_unlogged && !is_once)
        return TABLE_UNLOGGED;
    if (!source->is_published && !is_once)
        return TABLE_NOT_FOLLOWED;
    if (!status->target.is_reached)
        return TABLE_PUBLISHED;
    enum status_table_state kept_is = kept ? kept_state(status, kept, table) : TABLE_PLANNED;
    if (kept_is == TABLE_COPIED || kept_is == TABLE_PARKED || kept_is == TABLE_RESYNCING)
        return kept_is;
    if (!kept && (!is_followed || reading->kept.count))
        return TABLE_PLANNED;
    return source->is_changeable ? TABLE_FOLLOWING : TABLE_INSERT_ONLY;
}

static struct status_table *add_table(struct status_reading *reading, uint32_t oid,
                                      const char *schema, const char *name)
{
    struct status *status = reading->status;
    const struct keeper_table_progress *progress = keeper_progress_find(&reading->progress, oid);
    struct status_table *table = &status->tables[status->table_count++];
    *table = (struct status_table){.schema = str_dup(schema), .name = str_dup(name)};
    if (progress) {
        table->parts = progress->parts;
        table->parts_done = progress->parts_done;
        table->rows = progress->rows;
        table->bytes = progress->bytes;
    }
    return table;
}

static bool is_on_source(const struct status_reading *reading, uint32_t oid)
{
    for (size_t i = 0; i < reading->table_count; i++)
        if (reading->tables[i].oid == oid)
            return true;
    return false;
}

/* The source's tables, then those that only the keeper knows. */
static void join_tables(struct status_reading *reading)
{
    struct status *status = reading->status;
    const struct keeper_tables *kept = &reading->kept;
    status->tables = mem_alloc((reading->table_count + kept->count) * sizeof(*status->tables));
    for (size_t i = 0; i < reading->table_count; i++) {
        const struct source_table *source = &reading->tables[i];
        struct status_table *table = add_table(reading, source->oid, source->schema, source->name);
        table->state = state_of(reading, source, keeper_table_find(kept, source->oid), table);
    }
    for (size_t i = 0; i < kept->count; i++) {
        const struct keeper_table *old = &kept->items[i];
        if (is_on_source(reading, old->oid))
            continue;
        struct status_table *table = add_table(reading, old->oid, old->schema, old->name);
        table->state = status->source.is_reached ? TABLE_GONE : kept_state(status, old, table);
    }
}

/* --- from where on the target is a state of the source --- */

static uint64_t newest_end(const struct status_reading *reading)
{
    uint64_t end = reading->status->pipeline.schema_lsn;
    for (size_t i = 0; i < reading->kept.count; i++)
        end = MAX_OF(end, reading->kept.items[i].end_lsn);
    return end;
}

static char *rows_to_come(const struct status_reading *reading)
{
    const struct keeper_tables *kept = &reading->kept;
    size_t done = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const struct keeper_table_progress *progress =
            keeper_progress_find(&reading->progress, kept->items[i].oid);
        done += is_copied(&kept->items[i], progress ? progress->parts : 0,
                          progress ? progress->parts_done : 0);
    }
    return str_fmt("%zu of %zu tables are copied", done, kept->count);
}

static char *why_inconsistent(const struct status_reading *reading)
{
    switch (reading->status->pipeline.phase) {
    case KEEPER_CREATED:
    case KEEPER_SLOT:
        return str_dup("the schema is being copied");
    case KEEPER_TABLES:
        return rows_to_come(reading);
    case KEEPER_ROWS:
        return str_dup("indexes are being built; then the stream is applied");
    case KEEPER_INDEXES:
    case KEEPER_FOLLOWING:
        return str_dup("the stream has not passed the last table's snapshot");
    }
    return NULL;
}

/* The last table's end position is known when all rows are copied. (A start before the stream is
 * applied may still raise it.) A pipeline that adds tables keeps its own until then. */
static void find_consistent(struct status_reading *reading)
{
    struct status *status = reading->status;
    const struct keeper_pipeline *pipeline = &status->pipeline;
    if (!status->has_keeper || status->settings->mode == MODE_SNAPSHOT)
        return;
    status->consistent_from = pipeline->consistent_from;
    if (pipeline->phase == KEEPER_ROWS || pipeline->phase == KEEPER_INDEXES)
        status->consistent_from = MAX_OF(status->consistent_from, newest_end(reading));
    if (!status->consistent_from || pipeline->position < status->consistent_from)
        status->inconsistent = why_inconsistent(reading);
}

/* --- the whole --- */

bool status_read(const struct settings *settings, struct status *ret, struct err *err)
{
    AUTO(reading_release) struct status_reading reading = {.status = ret};
    ret->settings = settings;
    ret->snapshot_age_s = -1;
    ret->lag_bytes = -1;
    ret->lag_seconds = -1;
    connect_to(&reading, true);
    connect_to(&reading, false);
    if (!name_pipeline(&reading, err))
        return false;
    look(&reading, &ret->target, status_look_target);
    if (!choose_patterns(&reading, err))
        return false;
    look(&reading, &ret->source, status_look_source);
    join_tables(&reading);
    find_consistent(&reading);
    status_judge(ret);
    return true;
}
