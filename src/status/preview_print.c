/* A plan, for people and as JSON. Names of the JSON are stable; docs/status.md describes it. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "status/human.h"
#include "status/json.h"
#include "status/preview.h"

enum { JSON_VERSION = 1, NAME_WIDTH_MAX = 60 };

static const char *mode_name(enum mode mode)
{
    switch (mode) {
    case MODE_SNAPSHOT:
        return "snapshot";
    case MODE_REPLICATION:
        return "replication";
    case MODE_AUTO:
    case MODE_SNAPSHOT_AND_REPLICATION:
        break;
    }
    return "snapshot_and_replication";
}

/* --- for people --- */

static const char *changes_words(enum preview_changes changes)
{
    switch (changes) {
    case CHANGES_ALL:
        return "followed";
    case CHANGES_FULL:
        return "followed, with REPLICA IDENTITY FULL";
    case CHANGES_INSERT_ONLY:
        return "inserts and truncates followed";
    case CHANGES_UNLOGGED:
        return "not followed: unlogged";
    case CHANGES_UNPUBLISHED:
        return "not followed: not published";
    case CHANGES_REFUSED:
        return "REFUSED: no replica identity";
    case CHANGES_NONE:
        return "copied once";
    }
    return "";
}

static void print_table(const struct preview_table *item, int width, FILE *out)
{
    AUTO(str_free) char *label = table_label(item->table);
    AUTO(str_free) char *bytes = human_bytes(item->table->bytes);
    AUTO(str_free) char *parts = str_fmt("%d", item->parts);
    human_padded(out, label, width);
    (void)fprintf(out, "  %11s  %5s  %-6s  %-6s  %s", bytes, item->rows == ROWS_COPIED ? parts : "",
                  item->is_binary ? "binary" : "text", item->is_present ? "exists" : "made",
                  changes_words(item->changes));
    if (item->rows == ROWS_PRESENT)
        (void)fputs("; its rows are copied already", out);
    if (item->why_text && item->rows == ROWS_COPIED) {
        (void)fputs("; text because ", out);
        (void)human_text(out, item->why_text);
    }
    (void)fputc('\n', out);
}

static void print_tables(const struct preview *preview, FILE *out)
{
    int width = 5;
    for (size_t i = 0; i < preview->count; i++) {
        AUTO(str_free) char *label = table_label(preview->items[i].table);
        width = MAX_OF(width, (int)MIN_OF(strlen(label), (size_t)NAME_WIDTH_MAX));
    }
    (void)fprintf(out, "%-*s  %11s  %5s  %-6s  %-6s  changes\n", width, "table", "size", "parts",
                  "format", "target");
    for (size_t i = 0; i < preview->count; i++)
        print_table(&preview->items[i], width, out);
}

static void print_objects(const struct preview *preview, FILE *out)
{
    for (size_t i = 0; i < preview->object_count; i++) {
        const struct preview_object *object = &preview->objects[i];
        (void)fprintf(out, "%s%s: %s ", i ? "" : "\n", object->server, object->kind);
        (void)human_text(out, object->name);
        (void)fputs(object->is_present ? ", exists\n" : ", to be made\n", out);
    }
    const char *glue = "target: ";
    for (size_t i = 0; i < preview->count_count; i++) {
        if (!preview->counts[i].count)
            continue;
        (void)fprintf(out, "%s%" PRId64 " %s", glue, preview->counts[i].count,
                      preview->counts[i].kind);
        glue = ", ";
    }
    if (strcmp(glue, ", ") == 0)
        (void)fputc('\n', out);
}

void preview_print(const struct preview *preview, FILE *out)
{
    AUTO(str_free) char *bytes = human_bytes(preview->bytes);
    AUTO(str_free) char *part = human_bytes(preview->part_bytes);
    print_tables(preview, out);
    (void)fprintf(out, "total: %s in %" PRId64 " parts of up to %s, by %d copiers\n", bytes,
                  preview->parts, part, preview->copiers);
    print_objects(preview, out);
    for (size_t i = 0; i < preview->left_out_count; i++) {
        (void)fputs(i ? "left out: " : "\nleft out: ", out);
        (void)human_text(out, preview->left_out[i].name);
        (void)fputs(": ", out);
        (void)human_text(out, preview->left_out[i].why);
        (void)fputc('\n', out);
    }
}

/* --- for programs --- */

static json_t *tables_json(const struct preview *preview)
{
    json_t *array = json_array();
    for (size_t i = 0; i < preview->count; i++) {
        const struct preview_table *item = &preview->items[i];
        (void)json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:I, s:i, s:s, s:o, s:s, s:s, s:b}", "schema",
                      json_text_or_null(item->table->schema), "name",
                      json_text_or_null(item->table->name), "bytes", (json_int_t)item->table->bytes,
                      "parts", item->parts, "format", item->is_binary ? "binary" : "text",
                      "format_reason", json_text_or_null(item->why_text), "rows",
                      preview_rows_name(item->rows), "changes", preview_changes_name(item->changes),
                      "exists_on_target", item->is_present));
    }
    return array;
}

static json_t *objects_json(const struct preview *preview)
{
    json_t *array = json_array();
    for (size_t i = 0; i < preview->object_count; i++) {
        const struct preview_object *object = &preview->objects[i];
        (void)json_array_append_new(array, json_pack("{s:s, s:s, s:o, s:b}", "server",
                                                     object->server, "kind", object->kind, "name",
                                                     json_text_or_null(object->name), "exists",
                                                     object->is_present));
    }
    return array;
}

static json_t *left_out_json(const struct preview *preview)
{
    json_t *array = json_array();
    for (size_t i = 0; i < preview->left_out_count; i++)
        (void)json_array_append_new(
            array, json_pack("{s:o, s:o}", "name", json_text_or_null(preview->left_out[i].name),
                             "what", json_text_or_null(preview->left_out[i].why)));
    return array;
}

void preview_print_json(const struct preview *preview, FILE *out)
{
    json_t *counts = json_object();
    for (size_t i = 0; i < preview->count_count; i++)
        (void)json_object_set_new(counts, preview->counts[i].kind,
                                  json_integer(preview->counts[i].count));
    json_t *root = json_pack(
        "{s:i, s:s, s:o, s:I, s:I, s:I, s:i, s:o, s:o, s:o, s:o}", "version", JSON_VERSION, "mode",
        mode_name(preview->settings->mode), "slot", json_text_or_null(preview->slot_name), "bytes",
        (json_int_t)preview->bytes, "parts", (json_int_t)preview->parts, "part_bytes",
        (json_int_t)preview->part_bytes, "copiers", preview->copiers, "tables",
        tables_json(preview), "objects", objects_json(preview), "schema_objects", counts,
        "left_out", left_out_json(preview));
    (void)json_dumpf(root, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(root);
}
