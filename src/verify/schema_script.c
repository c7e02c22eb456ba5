/* The script: see schema_script.h. First all drops, then what is made, by step; notes at the end.
 * Invariant: names and values come from the databases, so nothing of them may end a comment line.
 */
#include "verify/schema_script.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "verify/report.h"

struct script_drop {
    char *sql; /* owned */
    int depth;
    int step;
};

void script_release(struct script *script)
{
    for (size_t i = 0; i < script->count; i++) {
        free(script->items[i].class);
        free(script->items[i].identity);
        free(script->items[i].difference);
        free(script->items[i].drop);
        free(script->items[i].make);
    }
    for (size_t i = 0; i < script->drop_count; i++)
        free(script->drops[i].sql);
    free(script->items);
    free(script->drops);
    *script = SCRIPT_INIT;
}

/* Doubles at powers of two. */
static void *grow(void *take_items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return take_items;
    return mem_resize(take_items, count ? count * 2 : 1, size);
}

void script_add(struct script *script, const struct script_item *take_item)
{
    script->items = grow(script->items, script->count, sizeof(*script->items));
    script->items[script->count] = *take_item;
    script->items[script->count].number = script->count;
    script->count++;
    script->differences += take_item->kind == SCRIPT_DIFFERENCE;
    script->notes += take_item->kind == SCRIPT_NOTE;
}

void script_add_drop(struct script *script, const char *sql, int depth, int step)
{
    script->drops = grow(script->drops, script->drop_count, sizeof(*script->drops));
    script->drops[script->drop_count++] = (struct script_drop){str_dup(sql), depth, step};
}

static int by_depth(const void *left, const void *right)
{
    const struct script_drop *a = left;
    const struct script_drop *b = right;
    if (a->depth != b->depth)
        return b->depth - a->depth;
    return a->step != b->step ? b->step - a->step : strcmp(a->sql, b->sql);
}

static int by_step(const void *left, const void *right)
{
    const struct script_item *a = left;
    const struct script_item *b = right;
    if ((a->kind == SCRIPT_NOTE) != (b->kind == SCRIPT_NOTE))
        return a->kind == SCRIPT_NOTE ? 1 : -1;
    if (a->step != b->step)
        return a->step - b->step;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    return (a->number > b->number) - (a->number < b->number);
}

static void sort(struct script *script)
{
    if (script->count)
        qsort(script->items, script->count, sizeof(*script->items), by_step);
    if (script->drop_count)
        qsort(script->drops, script->drop_count, sizeof(*script->drops), by_depth);
}

/* One line, whatever is in the text. */
static void add_line(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f)
            buf_fmt(out, "\\x%02x", byte);
        else
            buf_putc(out, *text);
    }
}

/* The statement's text without what ends it. */
static void add_sql(struct buf *out, const char *sql)
{
    size_t len = strlen(sql);
    while (len && strchr("; \n\t", sql[len - 1]))
        len--;
    buf_add(out, sql, len);
    buf_puts(out, ";\n");
}

static void add_comment(struct buf *out, const char *sql)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    add_sql(&text, sql);
    const char *line = buf_text(&text);
    while (*line) {
        size_t len = strcspn(line, "\r\n");
        buf_fmt(out, "-- %.*s\n", (int)len, line);
        line += len + (line[len] != '\0');
    }
}

static void add_item(struct buf *out, const struct script_item *item)
{
    buf_puts(out, item->kind == SCRIPT_NOTE ? "-- note: " : "-- ");
    buf_fmt(out, "%s ", item->class);
    add_line(out, item->identity);
    buf_puts(out, ": ");
    add_line(out, item->difference);
    buf_putc(out, '\n');
    if (item->remark)
        buf_fmt(out, "--   %s\n", item->remark);
    if (item->make && item->is_comment)
        add_comment(out, item->make);
    else if (item->make)
        add_sql(out, item->make);
}

static void add_end(struct buf *out, const struct script *script)
{
    if (script->differences)
        buf_fmt(out, "-- the catalogs differ: %zu difference%s", script->differences,
                script->differences == 1 ? "" : "s");
    else
        buf_puts(out, "-- the catalogs are alike");
    if (script->notes)
        buf_fmt(out, ", %zu note%s", script->notes, script->notes == 1 ? "" : "s");
    buf_putc(out, '\n');
}

char *script_text(struct script *script)
{
    struct buf out = BUF_INIT;
    sort(script);
    if (script->differences)
        buf_puts(&out, "-- SQL for the target, for psql: read it before you run it\n"
                       "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;\n"
                       "SET search_path = ''; SET check_function_bodies = off;\n");
    if (script->drop_count)
        buf_puts(&out, "-- these are made again below\n");
    for (size_t i = 0; i < script->drop_count; i++)
        add_sql(&out, script->drops[i].sql);
    for (size_t i = 0; i < script->count; i++)
        add_item(&out, &script->items[i]);
    add_end(&out, script);
    return buf_take(&out);
}

static json_t *json_item(const struct script_item *item)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (item->drop)
        add_sql(&sql, item->drop);
    if (item->make)
        add_sql(&sql, item->make);
    json_t *json = json_object();
    (void)json_object_set_new(json, "class", json_string(item->class));
    (void)json_object_set_new(json, "identity", json_text(item->identity));
    (void)json_object_set_new(json, "difference", json_text(item->difference));
    (void)json_object_set_new(json, "sql", sql.len ? json_text(buf_text(&sql)) : json_null());
    return json;
}

json_t *script_json(struct script *script)
{
    json_t *lists[] = {[SCRIPT_DIFFERENCE] = json_array(), [SCRIPT_NOTE] = json_array()};
    AUTO(str_free) char *text = script_text(script);
    for (size_t i = 0; i < script->count; i++)
        if (script->items[i].kind != SCRIPT_AGAIN)
            (void)json_array_append_new(lists[script->items[i].kind], json_item(&script->items[i]));
    json_t *json = json_object();
    (void)json_object_set_new(json, "result",
                              json_string(script->differences ? "different" : "equal"));
    (void)json_object_set_new(json, "differences", lists[SCRIPT_DIFFERENCE]);
    (void)json_object_set_new(json, "notes", lists[SCRIPT_NOTE]);
    (void)json_object_set_new(json, "script", json_text(text));
    return json;
}
