/* Reader of .env files: text to entries with their places. What the names mean is settings.c's. */
#include "conf/env_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MAX_FILE_BYTES = 1024 * 1024 };

/* One line while it is read. */
struct line {
    const char *start;
    const char *pos;
    const char *end;
    size_t number;
    const char *problem; /* set when reading must stop, pos is its place */
};

void env_file_release(struct env_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        str_free(&file->items[i].name);
        str_wipe(&file->items[i].value);
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

static void read_double_quoted(struct line *line, struct buf *value)
{
    const char *open = line->pos++;
    for (; line->pos < line->end && *line->pos != '"'; line->pos++) {
        if (*line->pos == '\\' && line->pos + 1 < line->end)
            put_escaped(*++line->pos, value);
        else
            buf_putc(value, *line->pos);
    }
    if (line->pos == line->end) {
        line->pos = open;
        line->problem = "the quote is not closed on this line";
    } else {
        line->pos++;
    }
}

/* Up to the end of the line or a comment that follows a blank, without blanks at its end. */
static void read_bare(struct line *line, struct buf *value)
{
    const char *start = line->pos;
    const char *c = start;
    while (c < line->end && !(*c == '#' && (c == start || is_blank(c[-1]))))
        c++;
    while (c > start && is_blank(c[-1]))
        c--;
    buf_add(value, start, (size_t)(c - start));
    line->pos = line->end;
}

static void read_value(struct line *line, struct buf *value)
{
    if (line->pos < line->end && (*line->pos == '\'' || *line->pos == '"')) {
        if (*line->pos == '\'')
            read_single_quoted(line, value);
        else
            read_double_quoted(line, value);
        if (line->problem)
            return;
        skip_blanks(line);
        if (line->pos < line->end && *line->pos != '#')
            line->problem = "there is text behind the closing quote";
    } else {
        read_bare(line, value);
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
    read_value(line, value);
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
        struct line line = {.start = text, .pos = text, .end = text + without_cr, .number = number};
        read_line(&line, &entry, &value);
        if (line.problem)
            strv_take(problems,
                      str_fmt("%s:%zu:%zu: %s", path, number, column(&line), line.problem));
        if (entry.name) {
            entry.value = buf_take(&value);
            add_entry(ret, &entry);
        }
        text += len + (text[len] == '\n');
    }
}

static void close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

void env_file_read(const char *path, struct env_file *ret, struct strv *problems)
{
    AUTO(close_file) FILE *in = fopen(path, "re");
    AUTO(str_wipe) char *text = mem_alloc(MAX_FILE_BYTES + 1);
    size_t len = 0;
    if (in)
        len = fread(text, 1, MAX_FILE_BYTES, in);
    if (!in || ferror(in))
        strv_take(problems, str_fmt("could not read %s: %s", path, strerror(errno)));
    else if (len == MAX_FILE_BYTES)
        strv_take(problems, str_fmt("cannot read %s: larger than 1 MiB", path));
    else if (memchr(text, '\0', len))
        strv_take(problems, str_fmt("cannot read %s: not a text file", path));
    else
        env_file_parse(path, text, ret, problems);
}
