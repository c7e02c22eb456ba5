/* Reader of .env files: text to entries with their places. What the names mean is the table's. */
#include "conf/env_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/expand.h"
#include "conf/text_file.h"

/* One line while it is read. */
struct line {
    const char *start;
    const char *pos;
    const char *end;
    size_t number;
    const char *problem; /* set when reading must stop, pos is its place */
    struct expander expander;
};

void env_file_release(struct env_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        str_free(&file->items[i].name);
        str_wipe(&file->items[i].value);
        str_free(&file->items[i].problem);
    }
    free(file->items);
    *file = ENV_FILE_INIT;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct line *line)
{
    while (line->pos < line->end && is_blank(*line->pos))
        line->pos++;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t column(const struct line *line)
{
    return (size_t)(line->pos - line->start) + 1;
}

/* Of the environment, or else of the last line above that could be read. */
static const char *find_variable(const void *context, const char *name)
{
    const struct env_file *above = context;
    const char *value = getenv(name);
    for (size_t i = above->count; !value && i > 0; i--)
        if (strcmp(above->items[i - 1].name, name) == 0)
            return above->items[i - 1].problem ? NULL : above->items[i - 1].value;
    return value;
}

static bool is_reference(const char *c, const char *end)
{
    return end - c >= 2 && c[0] == '$' && c[1] == '{';
}

/* At "${". The first mistake of a line is kept. */
static void read_reference(struct line *line, const char *end, struct env_entry *entry,
                           struct buf *value)
{
    AUTO(str_free) char *problem = NULL;
    if (expand_one(&line->expander, &line->pos, end, value, &problem))
        return;
    if (!entry->problem) {
        entry->problem = TAKE(problem);
        entry->problem_column = column(line);
    }
    buf_putc(value, *line->pos++);
}

static void read_single_quoted(struct line *line, struct buf *value)
{
    const char *open = line->pos++;
    while (line->pos < line->end && *line->pos != '\'')
        buf_putc(value, *line->pos++);
    if (line->pos == line->end) {
        line->pos = open;
        line->problem = "the quote is not closed on this line";
    } else {
        line->pos++;
    }
}

static void put_escaped(char c, struct buf *value)
{
    switch (c) {
    case 'n':
        buf_putc(value, '\n');
        break;
    case 't':
        buf_putc(value, '\t');
        break;
    case '"':
    case '\\':
    case '$':
        buf_putc(value, c);
        break;
    default: /* not an escape: both characters stand for themselves */
        buf_putc(value, '\\');
        buf_putc(value, c);
        break;
    }
}

static void read_double_quoted(struct line *line, struct env_entry *entry, struct buf *value)
{
    const char *open = line->pos++;
    while (line->pos < line->end && *line->pos != '"') {
        if (*line->pos == '\\' && line->pos + 1 < line->end) {
            put_escaped(line->pos[1], value);
            line->pos += 2;
        } else if (is_reference(line->pos, line->end)) {
            read_reference(line, line->end, entry, value);
        } else {
            buf_putc(value, *line->pos++);
        }
    }
    if (line->pos == line->end) {
        line->pos = open;
        line->problem = "the quote is not closed on this line";
    } else {
        line->pos++;
    }
}

/* Up to the end of the line or a comment that follows a blank, without blanks at its end. */
static void read_bare(struct line *line, struct env_entry *entry, struct buf *value)
{
    const char *start = line->pos;
    const char *c = start;
    while (c < line->end && !(*c == '#' && (c == start || is_blank(c[-1]))))
        c++;
    while (c > start && is_blank(c[-1]))
        c--;
    while (line->pos < c) {
        if (is_reference(line->pos, c))
            read_reference(line, c, entry, value);
        else
            buf_putc(value, *line->pos++);
    }
    line->pos = line->end;
}

static void read_value(struct line *line, struct env_entry *entry, struct buf *value)
{
    if (line->pos < line->end && (*line->pos == '\'' || *line->pos == '"')) {
        if (*line->pos == '\'')
            read_single_quoted(line, value);
        else
            read_double_quoted(line, entry, value);
        if (line->problem)
            return;
        skip_blanks(line);
        if (line->pos < line->end && *line->pos != '#')
            line->problem = "there is text behind the closing quote";
    } else {
        read_bare(line, entry, value);
    }
}

static void skip_export(struct line *line)
{
    static const char word[] = "export";
    size_t len = sizeof(word) - 1;
    if ((size_t)(line->end - line->pos) > len && memcmp(line->pos, word, len) == 0 &&
        is_blank(line->pos[len])) {
        line->pos += len;
        skip_blanks(line);
    }
}

/* Reads NAME=value into entry. A blank line or a comment leaves entry->name NULL. */
static void read_line(struct line *line, struct env_entry *entry, struct buf *value)
{
    skip_blanks(line);
    if (line->pos == line->end || *line->pos == '#')
        return;
    skip_export(line);
    const char *name = line->pos;
    entry->line = line->number;
    entry->name_column = column(line);
    while (line->pos < line->end && is_name_char(*line->pos))
        line->pos++;
    size_t name_len = (size_t)(line->pos - name);
    skip_blanks(line);
    if (name_len == 0 || line->pos == line->end || *line->pos != '=') {
        line->problem = "expected NAME=value";
        return;
    }
    line->pos++;
    skip_blanks(line);
    entry->value_column = column(line);
    read_value(line, entry, value);
    if (!line->problem)
        entry->name = str_dup_n(name, name_len);
}

static void add_entry(struct env_file *file, const struct env_entry *entry)
{
    file->items = mem_resize(file->items, file->count + 1, sizeof(*file->items));
    file->items[file->count++] = *entry;
}

void env_file_parse(const char *path, const char *text, struct env_file *ret, struct strv *problems)
{
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
        text += 3;
    for (size_t number = 1; *text; number++) {
        AUTO(buf_release) struct buf value = BUF_INIT;
        struct env_entry entry = {0};
        size_t len = strcspn(text, "\n");
        size_t without_cr = len > 0 && text[len - 1] == '\r' ? len - 1 : len;
        struct line line = {.start = text,
                            .pos = text,
                            .end = text + without_cr,
                            .number = number,
                            .expander = {find_variable, ret}};
        read_line(&line, &entry, &value);
        if (line.problem)
            strv_take(problems,
                      str_fmt("%s:%zu:%zu: %s", path, number, column(&line), line.problem));
        if (entry.name) {
            entry.value = buf_take(&value);
            add_entry(ret, &entry);
        } else {
            str_free(&entry.problem);
        }
        text += len + (text[len] == '\n');
    }
}

void env_file_read(const char *path, struct env_file *ret, struct strv *problems)
{
    AUTO(str_wipe) char *text = text_file_read(path, problems);
    if (text)
        env_file_parse(path, text, ret, problems);
}
