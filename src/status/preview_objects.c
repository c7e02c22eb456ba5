/* What else a run would make: slot, publications and keeper; schemas, extensions and the objects
 * of the schema copy. And what is left out of them. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "source/publication.h"
#include "source/slot.h"
#include "status/preview_inside.h"

/* --- on the source --- */

static bool look_publication(struct preview_reading *reading, const char *name, struct err *err)
{
    bool exists = false;
    if (!publication_look(reading->source, name, &exists, err))
        return false;
    preview_object(reading->preview, "source", "publication", name, exists);
    return true;
}

static bool needs_inserts(const struct preview *preview)
{
    for (size_t i = 0; i < preview->count; i++)
        if (preview->items[i].changes == CHANGES_INSERT_ONLY)
            return true;
    return false;
}

static bool look_source(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    const char *own = preview->settings->publication_name;
    AUTO(slot_state_release) struct slot_state slot = {0};
    if (!preview->slot_name)
        return true;
    AUTO(str_free) char *inserts = publication_inserts_name(preview->slot_name);
    if (!look_publication(reading, own[0] ? own : preview->slot_name, err) ||
        (!own[0] && needs_inserts(preview) && !look_publication(reading, inserts, err)) ||
        !slot_look(reading->source, preview->slot_name, &slot, err))
        return false;
    preview_object(preview, "source", "slot", preview->slot_name, slot.exists);
    for (size_t i = 0; i < preview->count; i++) {
        AUTO(str_free) char *label = table_label(preview->items[i].table);
        if (preview->items[i].changes == CHANGES_FULL)
            preview_object(preview, "source", "replica identity full", label, false);
    }
    return true;
}

/* --- on the target --- */

static bool look_schemas(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    const char *last = "";
    for (size_t i = 0; i < preview->count; i++) {
        AUTO(rows_free) struct rows *rows = NULL;
        const char *params[] = {preview->items[i].table->schema};
        if (strcmp(params[0], last) == 0)
            continue;
        last = params[0];
        if (!conn_query_params(reading->target,
                               "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1", 1, params,
                               &rows, err))
            return false;
        preview_object(preview, "target", "schema", last, rows_count(rows) > 0);
    }
    return true;
}

static bool look_extensions(struct preview_reading *reading, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(reading->source,
                    "SELECT extname FROM pg_catalog.pg_extension"
                    " WHERE extname <> 'plpgsql' ORDER BY 1",
                    &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        AUTO(rows_free) struct rows *there = NULL;
        AUTO(rows_free) struct rows *can = NULL;
        const char *params[] = {rows_text(rows, i, 0)};
        if (!conn_query_params(reading->target,
                               "SELECT FROM pg_catalog.pg_extension WHERE extname = $1", 1, params,
                               &there, err) ||
            !conn_query_params(reading->target,
                               "SELECT FROM pg_catalog.pg_available_extensions WHERE name = $1", 1,
                               params, &can, err))
            return false;
        preview_object(reading->preview, "target", "extension", params[0], rows_count(there) > 0);
        if (rows_count(there) == 0 && rows_count(can) == 0)
            preview_leave_out(reading->preview, str_fmt("extension %s", params[0]),
                              str_dup("the target's server does not have it installed: the run "
                                      "would fail"));
    }
    return true;
}

static bool look_target(struct preview_reading *reading, struct err *err)
{
    const char *keeper = reading->preview->settings->keeper_schema;
    bool exists = false;
    if (!keeper_schema_look(reading->target, keeper, &exists, err))
        return false;
    if (reading->preview->slot_name)
        preview_object(reading->preview, "target", "keeper schema", keeper, exists);
    if (reading->preview->settings->snapshot_content == SNAPSHOT_DATA ||
        reading->preview->settings->mode == MODE_REPLICATION)
        return true;
    return look_schemas(reading, err) && look_extensions(reading, err);
}

/* --- objects of the schema copy, counted --- */

/* $1: the keeper's schema; $2: the OIDs of the tables to be copied. The first four follow the
 * tables; the others are copied when all tables are. */
#define FOREIGN_SCHEMA(namespace) \
    " n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', $1) AND " namespace
#define NO_MEMBER(catalog, oid)                                            \
    " NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = " oid \
    " AND d.classid = 'pg_catalog." catalog "'::pg_catalog.regclass AND d.deptype IN ('e', 'i'))"
#define COUNT_CLASS(kind)                                                                   \
    "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n" \
    " ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND c.relkind = '" kind       \
    "' AND" FOREIGN_SCHEMA(NO_MEMBER("pg_class", "c.oid")) ")"

static const char counts_sql[] =
    "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index"
    "   WHERE indrelid = ANY ($2::oid[])),"
    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint"
    "   WHERE conrelid = ANY ($2::oid[]) AND contype = 'f'),"
    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger"
    "   WHERE tgrelid = ANY ($2::oid[]) AND NOT tgisinternal),"
    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_policy WHERE polrelid = ANY ($2::oid[])),"
    " " COUNT_CLASS("v") ", " COUNT_CLASS("m") ", " COUNT_CLASS(
        "S") ","
             " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
             "   ON n.oid = p.pronamespace WHERE" FOREIGN_SCHEMA(NO_MEMBER(
                 "pg_proc", "p.oid")) "),"
                                      " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_type t JOIN "
                                      "pg_catalog.pg_namespace n"
                                      "   ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', "
                                      "'r') AND" FOREIGN_SCHEMA(NO_MEMBER("pg_type", "t.oid")) ")";

static char *selected_oids(const struct preview *preview)
{
    struct buf oids = BUF_INIT;
    buf_putc(&oids, '{');
    for (size_t i = 0; i < preview->count; i++)
        buf_fmt(&oids, "%s%u", i ? "," : "", preview->items[i].table->oid);
    buf_putc(&oids, '}');
    return buf_take(&oids);
}

static bool look_counts(struct preview_reading *reading, struct err *err)
{
    static const char *const kinds[] = {"indexes",   "foreign keys", "triggers",
                                        "policies",  "views",        "materialised views",
                                        "sequences", "functions",    "types"};
    enum { OF_TABLES = 4 };
    struct preview *preview = reading->preview;
    const struct settings *settings = preview->settings;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = selected_oids(preview);
    const char *params[] = {settings->keeper_schema, oids};
    if (settings->snapshot_content == SNAPSHOT_DATA || settings->mode == MODE_REPLICATION ||
        reading->is_following)
        return true;
    if (!conn_query_params(reading->source, counts_sql, 2, params, &rows, err))
        return err_wrap(err, "could not count the objects of the schema");
    size_t shown = selection_is_all(&reading->selection) ? COUNT_OF(kinds) : OF_TABLES;
    for (size_t i = 0; i < shown; i++)
        preview->counts[preview->count_count++] =
            (struct preview_count){.kind = kinds[i], .count = rows_int(rows, 0, (int)i)};
    return true;
}

/* --- left out --- */

/* Foreign tables have no rows of their own; materialised views get theirs at the end. */
static bool look_left_out(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {preview->settings->keeper_schema};
    if (preview->settings->mode == MODE_REPLICATION || !selection_is_all(&reading->selection))
        return true; /* patterns name tables only */
    if (!conn_query_params(
            reading->source,
            "SELECT n.nspname || '.' || c.relname, c.relkind FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('f', 'm') AND" FOREIGN_SCHEMA(
                NO_MEMBER("pg_class", "c.oid")) " ORDER BY 2, 1",
            1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        bool is_foreign = rows_text(rows, i, 1)[0] == 'f';
        preview_leave_out(preview, str_dup(rows_text(rows, i, 0)),
                          str_dup(is_foreign ? "rows: it is a foreign table"
                                             : "rows, until the copy is complete: it is a "
                                               "materialised view, refreshed then; later changes "
                                               "need another REFRESH on the target"));
    }
    return true;
}

bool preview_look_objects(struct preview_reading *reading, struct err *err)
{
    return look_source(reading, err) && look_target(reading, err) && look_counts(reading, err) &&
           look_left_out(reading, err);
}
