/* Table patterns: parsed once into literal characters and wildcards, matched against exact names.
 * Used by the planner for what to copy and publish, and by verify. */
#include "conf/pattern.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

/* One name with wildcards. A quoted star is literal, hence the kinds beside the characters. */
struct name_pattern {
    char *chars; /* owned */
    char *kinds; /* owned; '*' where chars holds a wildcard, '.' where a literal */
};

struct pattern {
    char *text; /* owned; as the user wrote it */
    struct name_pattern schema;
    struct name_pattern table;
    bool was_matched;
};

static void name_release(struct name_pattern *name)
{
    str_free(&name->chars);
    str_free(&name->kinds);
}

static void pattern_release(struct pattern *pattern)
{
    str_free(&pattern->text);
    name_release(&pattern->schema);
    name_release(&pattern->table);
}

void pattern_list_release(struct pattern_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        pattern_release(&list->items[i]);
    free(list->items);
    *list = PATTERN_LIST_INIT;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

/* A quoted name, from its first quote on. Returns what stands behind it, or NULL. */
static const char *quoted_parse(const char *c, struct buf *chars, struct buf *kinds)
{
    size_t before = chars->len;
    for (c++; *c; c++) {
        if (*c == '"' && *++c != '"')
            return chars->len > before ? c : NULL;
        buf_putc(chars, *c);
        buf_putc(kinds, '.');
    }
    return NULL;
}

/* One name at *text, which moves behind it. Only ASCII folds, as on a server in UTF-8. */
static bool name_parse(const char **text, struct name_pattern *ret)
{
    AUTO(buf_release) struct buf chars = BUF_INIT;
    AUTO(buf_release) struct buf kinds = BUF_INIT;
    const char *c = *text;
    if (*c == '"')
        c = quoted_parse(c, &chars, &kinds);
    else
        for (; *c == '*' || is_name_char(*c); c++) {
            buf_putc(&chars, *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c);
            buf_putc(&kinds, *c == '*' ? '*' : '.');
        }
    if (!c || chars.len == 0)
        return false;
    *text = c;
    ret->chars = buf_take(&chars);
    ret->kinds = buf_take(&kinds);
    return true;
}

/* False leaves pattern half filled; the caller releases it. */
static bool pattern_parse(const char *text, struct pattern *pattern)
{
    const char *c = text;
    pattern->text = str_dup(text);
    if (!name_parse(&c, &pattern->table))
        return false;
    if (*c == '.') {
        c++;
        pattern->schema = pattern->table;
        pattern->table = (struct name_pattern){0};
        if (!name_parse(&c, &pattern->table))
            return false;
    } else {
        pattern->schema.chars = str_dup("public");
        pattern->schema.kinds = str_dup("......");
    }
    return *c == '\0';
}

bool pattern_list_parse(const struct strv *texts, struct pattern_list *ret, struct err *err)
{
    AUTO(pattern_list_release) struct pattern_list list = PATTERN_LIST_INIT;
    list.items = mem_alloc((texts->count + 1) * sizeof(*list.items));
    for (size_t i = 0; i < texts->count; i++) {
        struct pattern *pattern = &list.items[list.count++];
        if (!pattern_parse(texts->items[i], pattern)) {
            (void)err_set(err, ERR_CONFIG, "\"%s\" is not a table pattern", texts->items[i]);
            return err_hint(err, "write table, schema.table or schema.*; names with other "
                                 "characters than letters, digits and _ in double quotes");
        }
    }
    *ret = list;
    list = PATTERN_LIST_INIT;
    return true;
}

/* Backtracks to the last wildcard only, which is enough for '*'. */
static bool name_match(const struct name_pattern *name, const char *text)
{
    size_t i = 0;
    size_t star = SIZE_MAX;
    const char *resume = text;
    while (*text) {
        if (name->kinds[i] == '*') {
            star = i++;
            resume = text;
        } else if (name->chars[i] && name->chars[i] == *text) {
            i++;
            text++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (name->kinds[i] == '*')
        i++;
    return name->chars[i] == '\0';
}

static bool pattern_match(const struct pattern *pattern, const char *schema, const char *table)
{
    return name_match(&pattern->schema, schema) && name_match(&pattern->table, table);
}

bool pattern_list_match(const struct pattern_list *list, const char *schema, const char *table)
{
    for (size_t i = 0; i < list->count; i++)
        if (pattern_match(&list->items[i], schema, table))
            return true;
    return list->count == 0;
}

bool pattern_list_mark(struct pattern_list *list, const char *schema, const char *table)
{
    bool is_covered = list->count == 0;
    for (size_t i = 0; i < list->count; i++)
        if (pattern_match(&list->items[i], schema, table))
            list->items[i].was_matched = is_covered = true;
    return is_covered;
}

void pattern_list_unmatched(const struct pattern_list *list, struct strv *ret_texts)
{
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].was_matched)
            strv_add(ret_texts, list->items[i].text);
}

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void pattern_split(const char *text, struct strv *ret_texts)
{
    while (*text) {
        const char *start = text;
        bool is_quoted = false;
        for (; *text && (is_quoted || !is_separator(*text)); text++)
            if (*text == '"')
                is_quoted = !is_quoted;
        if (text > start)
            strv_take(ret_texts, str_dup_n(start, (size_t)(text - start)));
        if (*text)
            text++;
    }
}
