/* The result on stdout, the progress on a terminal's stderr: see report.h. */
#include "verify/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { JSON_VERSION = 1, MAX_NAME_WIDTH = 48 };

struct report {
    FILE *out;      /* borrowed */
    FILE *progress; /* borrowed; NULL: none is shown */
    json_t *tables; /* owned; NULL: for people */
    json_t *schema; /* owned; NULL: the catalogs were not compared */
    bool has_schema_difference;
    int name_width;
    size_t table_count; /* to compare; a partitioned one counts by its partitions */
    int64_t bytes;      /* of these, on the source */
    int64_t bytes_done;
    size_t compared;
    size_t different;
    size_t unsettled;
    int64_t rows[SIDES];
    bool has_header;
};

static const char *outcome_text(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_EQUAL:
        return "equal";
    case OUTCOME_DIFFERENT:
        return "different";
    case OUTCOME_NO_TABLE:
        return "missing on target";
    case OUTCOME_NO_COLUMN:
        return "columns missing on target";
    case OUTCOME_UNSETTLED:
        return "not settled";
    }
    return "";
}

static const char *kind_text(enum difference_kind kind)
{
    switch (kind) {
    case DIFFERENCE_MISSING:
        return "missing on target";
    case DIFFERENCE_EXTRA:
        return "extra on target";
    case DIFFERENCE_CHANGED:
        return "different";
    }
    return "";
}

struct report *report_new(FILE *out, bool as_json, FILE *progress, const struct table_list *tables)
{
    struct report *report = mem_alloc(sizeof(*report));
    *report = (struct report){
        .out = out,
        .progress = progress,
        .tables = as_json ? json_array() : NULL,
        .name_width = 5,
    };
    for (size_t i = 0; i < tables->count; i++) {
        AUTO(str_free) char *label = table_label(&tables->items[i]);
        int width = (int)MIN_OF(strlen(label), (size_t)MAX_NAME_WIDTH);
        report->name_width = MAX_OF(report->name_width, width);
        report->table_count += tables->items[i].kind != 'p';
        report->bytes += tables->items[i].bytes;
    }
    return report;
}

void report_free(struct report **report)
{
    if (!*report)
        return;
    json_decref((*report)->tables);
    json_decref((*report)->schema);
    free(*report);
    *report = NULL;
}

bool report_found(const struct report *report)
{
    return report->different > 0 || report->has_schema_difference;
}

static void clear_progress(const struct report *report)
{
    if (!report->progress)
        return;
    (void)fputs("\r\033[K", report->progress);
    (void)fflush(report->progress);
}

/* Names and keys come from the databases: control characters must not reach the terminal. */
static void print_text(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f)
            (void)fprintf(out, "\\x%02x", byte);
        else
            (void)fputc(byte, out);
    }
}

static void print_list(FILE *out, const struct strv *list)
{
    for (size_t i = 0; i < list->count; i++) {
        (void)fputs(i ? ", " : "", out);
        print_text(out, list->items[i]);
    }
}

void report_progress(struct report *report, const struct table *table)
{
    if (!report->progress)
        return;
    double share = report->bytes ? (double)report->bytes_done / (double)report->bytes : 0;
    clear_progress(report);
    (void)fprintf(report->progress, "%zu of %zu tables, %.0f %%, now ", report->compared,
                  report->table_count, 100 * share);
    AUTO(str_free) char *label = table_label(table);
    if (strlen(label) > MAX_NAME_WIDTH)
        label[MAX_NAME_WIDTH] = '\0';
    print_text(report->progress, label);
    (void)fflush(report->progress);
}

void report_wait(void *told, int64_t behind)
{
    const struct report *report = told;
    if (!report->progress)
        return;
    clear_progress(report);
    (void)fprintf(report->progress,
                  "%zu of %zu tables; waits for the target, %" PRId64 " bytes of WAL behind",
                  report->compared, report->table_count, behind);
    (void)fflush(report->progress);
}

static void print_difference(FILE *out, const struct comparison *c, const struct difference *d)
{
    (void)fprintf(out, "    %-17s  ", c->key.count ? kind_text(d->kind) : "row");
    if (!c->key.count) {
        const char *side = d->source_count > d->target_count ? "source" : "target";
        (void)fprintf(out, "hash %016" PRIx64 ": %" PRId64 " on source, %" PRId64 " on target",
                      (uint64_t)d->hash, d->source_count, d->target_count);
        if (d->ctid)
            (void)fprintf(out, "; ctid %s on %s", d->ctid, side);
        (void)fputc('\n', out);
        return;
    }
    for (size_t i = 0; i < d->key.count; i++) {
        (void)fputs(i ? ", " : "(", out);
        print_text(out, c->key.items[i]);
        (void)fputc('=', out);
        print_text(out, d->key.items[i]);
    }
    (void)fputs(d->columns.count ? ") in " : ")", out);
    print_list(out, &d->columns);
    (void)fputc('\n', out);
}

static bool has_rows(const struct comparison *c)
{
    return c->outcome == OUTCOME_EQUAL || c->outcome == OUTCOME_DIFFERENT ||
           (c->outcome == OUTCOME_UNSETTLED && c->unsettled);
}

static void print_table(struct report *report, const struct comparison *c)
{
    FILE *out = report->out;
    if (!report->has_header)
        (void)fprintf(out, "%-*s  %14s  %14s  result\n", report->name_width, "table",
                      "rows on source", "rows on target");
    report->has_header = true;
    AUTO(str_free) char *label = table_label(c->table);
    print_text(out, label);
    (void)fprintf(out, "%*s", MAX_OF(report->name_width - (int)strlen(label), 0), "");
    if (has_rows(c))
        (void)fprintf(out, "  %14" PRId64 "  %14" PRId64, c->sums[SIDE_SOURCE].rows,
                      c->sums[SIDE_TARGET].rows);
    else
        (void)fprintf(out, "  %14s  %14s", "", "");
    (void)fprintf(out, "  %s%s", outcome_text(c->outcome), c->missing_columns.count ? ": " : "");
    print_list(out, &c->missing_columns);
    if (c->is_insert_only && c->outcome != OUTCOME_EQUAL)
        (void)fputs(" (insert-only: its UPDATEs and DELETEs are not followed)", out);
    if (c->reason) {
        (void)fputs(": ", out);
        if (c->unsettled)
            (void)fprintf(out, "%" PRId64 " row%s, ", c->unsettled, c->unsettled == 1 ? "" : "s");
        print_text(out, c->reason);
    }
    (void)fputc('\n', out);
    for (size_t i = 0; i < c->difference_count; i++)
        print_difference(out, c, &c->differences[i]);
    if (c->has_more)
        (void)fprintf(out, "    and more, not shown\n");
    (void)fflush(out);
}

/* Bytes of a database without an encoding may be no UTF-8: shown as '?'. */
json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    AUTO(str_free) char *copy = str_dup(text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(copy);
}

/* For programs the same words, joined. */
static json_t *json_word(const char *words)
{
    AUTO(str_free) char *copy = str_dup(words);
    for (char *c = copy; *c; c++)
        if (*c == ' ')
            *c = '_';
    return json_string(copy);
}

static json_t *json_list(const struct strv *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, json_text(list->items[i]));
    return array;
}

static json_t *json_hash(uint64_t hash)
{
    char text[17];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, hash);
    return json_string(text);
}

static json_t *json_difference(const struct comparison *c, const struct difference *d)
{
    json_t *json = json_object();
    if (!c->key.count) {
        const char *side = d->source_count > d->target_count ? "source" : "target";
        (void)json_object_set_new(json, "row_hash", json_hash((uint64_t)d->hash));
        (void)json_object_set_new(json, "source_count", json_integer(d->source_count));
        (void)json_object_set_new(json, "target_count", json_integer(d->target_count));
        (void)json_object_set_new(json, "more_on", json_string(side));
        (void)json_object_set_new(json, "ctid", d->ctid ? json_string(d->ctid) : json_null());
        return json;
    }
    json_t *key = json_object();
    for (size_t i = 0; i < d->key.count; i++) {
        json_t *name = json_text(c->key.items[i]);
        (void)json_object_set_new(key, json_string_value(name), json_text(d->key.items[i]));
        json_decref(name);
    }
    (void)json_object_set_new(json, "kind", json_word(kind_text(d->kind)));
    (void)json_object_set_new(json, "key", key);
    (void)json_object_set_new(json, "columns", json_list(&d->columns));
    return json;
}

static json_t *json_table(const struct comparison *c)
{
    json_t *json = json_object();
    (void)json_object_set_new(json, "schema", json_text(c->table->schema));
    (void)json_object_set_new(json, "table", json_text(c->table->name));
    (void)json_object_set_new(json, "result", json_word(outcome_text(c->outcome)));
    (void)json_object_set_new(json, "insert_only", json_boolean(c->is_insert_only));
    if (c->missing_columns.count)
        (void)json_object_set_new(json, "missing_columns", json_list(&c->missing_columns));
    if (c->reason)
        (void)json_object_set_new(json, "reason", json_text(c->reason));
    if (!has_rows(c))
        return json;
    json_t *differences = json_array();
    for (size_t i = 0; i < c->difference_count; i++)
        (void)json_array_append_new(differences, json_difference(c, &c->differences[i]));
    const struct part_sum *source = &c->sums[SIDE_SOURCE];
    const struct part_sum *target = &c->sums[SIDE_TARGET];
    (void)json_object_set_new(json, "compared_again", json_boolean(c->is_settled));
    (void)json_object_set_new(json, "unsettled_rows", json_integer(c->unsettled));
    (void)json_object_set_new(json, "key", json_list(&c->key));
    (void)json_object_set_new(json, "source_rows", json_integer(source->rows));
    (void)json_object_set_new(json, "target_rows", json_integer(target->rows));
    (void)json_object_set_new(json, "source_checksum", json_hash(source->sum));
    (void)json_object_set_new(json, "target_checksum", json_hash(target->sum));
    (void)json_object_set_new(json, "differences", differences);
    (void)json_object_set_new(json, "more_differences", json_boolean(c->has_more));
    return json;
}

void report_table(struct report *report, const struct comparison *comparison)
{
    bool is_parent = comparison->table->kind == 'p' && comparison->outcome == OUTCOME_EQUAL;
    report->compared += !is_parent;
    report->table_count += comparison->table->kind == 'p' && !is_parent; /* one more has a line */
    report->bytes_done += comparison->table->bytes;
    report->unsettled += comparison->outcome == OUTCOME_UNSETTLED;
    report->different +=
        comparison->outcome != OUTCOME_EQUAL && comparison->outcome != OUTCOME_UNSETTLED;
    for (int side = 0; side < SIDES; side++)
        report->rows[side] += comparison->sums[side].rows;
    clear_progress(report);
    if (is_parent)
        return; /* its partitions have lines of their own */
    if (report->tables)
        (void)json_array_append_new(report->tables, json_table(comparison));
    else
        print_table(report, comparison);
}

static void print_end(const struct report *report, const struct err *failure, const char *note)
{
    const char *were = report->table_count == 1 ? "" : "s";
    if (failure)
        (void)fprintf(report->out, "not finished: %zu of %zu table%s compared, %zu different\n",
                      report->compared, report->table_count, were, report->different);
    else if (report->different)
        (void)fprintf(report->out, "source and target differ: %zu of %zu table%s\n",
                      report->different, report->table_count, were);
    else if (report->unsettled)
        (void)fprintf(report->out, "not settled: %zu of %zu table%s; no difference is proven\n",
                      report->unsettled, report->table_count, were);
    else
        (void)fprintf(report->out,
                      "source and target are identical: %zu table%s, %" PRId64 " rows\n",
                      report->table_count, were, report->rows[SIDE_SOURCE]);
    if (report_found(report) && note)
        (void)fprintf(report->out, "%s\n", note);
}

static const char *result_word(const struct report *report, const struct err *failure)
{
    if (failure)
        return "not_finished";
    if (report_found(report))
        return "different";
    return report->unsettled ? "not_settled" : "equal";
}

void report_schema(struct report *report, json_t *take_schema, bool is_different)
{
    report->schema = take_schema;
    report->has_schema_difference = is_different;
}

static void print_json(const struct report *report, const struct err *failure, const char *note)
{
    const char *result = result_word(report, failure);
    json_t *json = json_object();
    (void)json_object_set_new(json, "version", json_integer(JSON_VERSION));
    (void)json_object_set_new(json, "result", json_string(result));
    if (failure)
        (void)json_object_set_new(json, "error", json_text(failure->text));
    (void)json_object_set_new(json, "tables_compared", json_integer((json_int_t)report->compared));
    (void)json_object_set_new(json, "tables_different",
                              json_integer((json_int_t)report->different));
    (void)json_object_set_new(json, "tables_not_settled",
                              json_integer((json_int_t)report->unsettled));
    if (report_found(report) && note)
        (void)json_object_set_new(json, "note", json_text(note));
    (void)json_object_set_new(json, "source_rows", json_integer(report->rows[SIDE_SOURCE]));
    (void)json_object_set_new(json, "target_rows", json_integer(report->rows[SIDE_TARGET]));
    (void)json_object_set(json, "tables", report->tables);
    if (report->schema)
        (void)json_object_set(json, "schema", report->schema);
    (void)json_dumpf(json, report->out, JSON_INDENT(2));
    (void)fputc('\n', report->out);
    json_decref(json);
}

void report_end(struct report *report, const struct err *failure, const char *note)
{
    clear_progress(report);
    if (report->tables)
        print_json(report, failure, note);
    else
        print_end(report, failure, note);
    (void)fflush(report->out);
}

bool report_settled(const struct report *report, struct err *err)
{
    return !report->unsettled || err_set(err, ERR_RETRY,
                                         "%zu of %zu tables could not be settled: neither equal nor"
                                         " different for certain",
                                         report->unsettled, report->table_count);
}
