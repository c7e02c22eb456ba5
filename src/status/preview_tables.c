/* The tables of a plan: parts, format, what becomes of their changes; or why they stay out. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "source/part.h"
#include "source/publication.h"
#include "status/preview_inside.h"

static struct selected names_of(const struct table *table)
{
    return (struct selected){table->schema, table->name, table->root_schema, table->root_name};
}

/* As the copy decides: binary when every column's type allows it and is the same on both sides. */
static char *why_text(const struct preview_reading *reading, const struct table *table,
                      const struct table *to)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        const struct column *other = to ? table_column(to, column->name) : NULL;
        if (column->is_generated)
            continue;
        if (other && strcmp(column->type_name, other->type_name) != 0)
            return str_fmt("column %s is %s here and %s on the target", column->name,
                           column->type_name, other->type_name);
        if (types_ask(reading->types, column->type_oid) != TYPES_BINARY)
            return str_fmt("column %s is %s, which does not travel in binary", column->name,
                           column->type_name);
    }
    return NULL;
}

static enum preview_changes changes_of(const struct preview_reading *reading,
                                       const struct table *table)
{
    const struct preview *preview = reading->preview;
    if (!preview->slot_name)
        return CHANGES_NONE;
    if (table->persistence == 'u')
        return CHANGES_UNLOGGED;
    if (reading->is_carried && !reading->is_carried[table - preview->tables.items])
        return CHANGES_UNPUBLISHED;
    if (table->has_identity ||
        (table->kind == 'p' && publication_is_safe_root(&preview->tables, table)))
        return CHANGES_ALL;
    switch (preview->settings->tables_without_identity) {
    case WITHOUT_IDENTITY_ERROR:
        break;
    case WITHOUT_IDENTITY_INSERT_ONLY:
        return CHANGES_INSERT_ONLY;
    case WITHOUT_IDENTITY_FULL:
        return CHANGES_FULL;
    }
    return CHANGES_REFUSED;
}

static enum preview_rows rows_of(const struct preview_reading *reading, const struct table *table)
{
    const struct settings *settings = reading->preview->settings;
    const struct keeper_table *kept = keeper_table_find(&reading->kept, table->oid);
    struct selected names = names_of(table);
    if (kept && kept->is_copied)
        return ROWS_PRESENT;
    if (settings->mode == MODE_REPLICATION || settings->snapshot_content == SNAPSHOT_SCHEMA ||
        selection_is_schema_only(&reading->selection, &names))
        return ROWS_LEFT;
    return ROWS_COPIED;
}

static void add_table(struct preview_reading *reading, const struct table *table)
{
    struct preview *preview = reading->preview;
    const struct table *to = table_list_find(&reading->target_tables, table->schema, table->name);
    AUTO(part_list_release) struct part_list parts = PART_LIST_INIT;
    struct preview_table *item = &preview->items[preview->count++];
    *item = (struct preview_table){
        .table = table,
        .rows = rows_of(reading, table),
        .changes = changes_of(reading, table),
        .why_text = why_text(reading, table, to),
        .is_present = to != NULL,
    };
    item->is_binary = !item->why_text;
    if (item->rows != ROWS_COPIED)
        return;
    item->parts =
        part_plan(&parts, table, item->is_binary, preview->part_bytes, reading->block_bytes);
    preview->parts += item->parts;
    preview->bytes += table->bytes;
}

/* What is copied but not followed, or the other way round, is left out in part. */
static void note_part(struct preview *preview, const struct preview_table *item)
{
    static const char *const why[] = {
        [CHANGES_INSERT_ONLY] = "UPDATEs and DELETEs: it has no replica identity "
                                "(tables_without_identity: insert_only)",
        [CHANGES_UNLOGGED] = "all changes: it is unlogged, they are not in the WAL",
        [CHANGES_UNPUBLISHED] = "all of it: the publication of publication_name does not carry it",
        [CHANGES_REFUSED] = "nothing: the run would refuse to start, because it has no replica "
                            "identity (tables_without_identity: error)",
        [CHANGES_NONE] = NULL,
    };
    if (why[item->changes])
        preview_leave_out(preview, table_label(item->table), str_dup(why[item->changes]));
    if (item->rows == ROWS_LEFT)
        preview_leave_out(preview, table_label(item->table), str_dup("the rows that it holds now"));
}

static void leave_out(struct preview_reading *reading, const struct table *table)
{
    struct preview *preview = reading->preview;
    struct selected names = names_of(table);
    bool is_excluded =
        reading->selection.excluded.count &&
        (pattern_list_match(&reading->selection.excluded, names.schema, names.name) ||
         (names.root_name &&
          pattern_list_match(&reading->selection.excluded, names.root_schema, names.root_name)));
    preview_leave_out(preview, table_label(table),
                      str_dup(is_excluded ? "all of it: excluded_tables names it"
                                          : "all of it: tables does not name it"));
}

/* Its partitioned table is not selected: the run would refuse it. */
static bool is_orphan(struct preview_reading *reading, const struct table *table)
{
    struct selected root = {table->root_schema, table->root_name, NULL, NULL};
    return table->root_name && !selection_covers(&reading->selection, &root);
}

bool preview_look_tables(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    preview->part_bytes = settings_part_size(preview->settings, reading->block_bytes);
    preview->items = mem_alloc(preview->tables.count * sizeof(*preview->items));
    for (size_t i = 0; i < preview->tables.count; i++) {
        const struct table *table = &preview->tables.items[i];
        struct selected names = names_of(table);
        if (!selection_covers(&reading->selection, &names)) {
            leave_out(reading, table);
        } else if (is_orphan(reading, table)) {
            preview_leave_out(preview, table_label(table),
                              str_fmt("nothing: the run would refuse to start, because %s.%s, of "
                                      "which it is a partition, is not selected",
                                      table->root_schema, table->root_name));
        } else if (table->kind == 'r') {
            add_table(reading, table);
            note_part(preview, &preview->items[preview->count - 1]);
        }
    }
    return selection_check(&reading->selection, err);
}
