/* Reader of YAML files: libyaml's events to entries with their places. What the paths mean is the
 * table's. Beside files.c, which uses it. */
#include "conf/yaml_file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/expand.h"
#include "conf/text_file.h"

/* Files of people stay far below; others must not take for ever or overflow the stack. */
enum { MAX_DEPTH = 32, MAX_ENTRIES = 2000 };

struct walk {
    yaml_parser_t parser;
    const char *name; /* borrowed: the file's, for problems */
    const char *text; /* borrowed: the whole file */
    struct yaml_file *file;
    struct strv *problems;
    size_t depth;
    bool is_over; /* nothing more can be read */
};

void yaml_file_release(struct yaml_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        str_free(&file->items[i].path);
        str_wipe(&file->items[i].value);
        str_free(&file->items[i].problem);
    }
    free(file->items);
    *file = YAML_FILE_INIT;
}

bool yaml_entry_is_null(const struct yaml_entry *entry)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (entry->kind == ENTRY_VALUE && entry->is_plain && strcmp(entry->value, words[i]) == 0)
            return true;
    return false;
}

static void complain(struct walk *walk, const yaml_mark_t *mark, const char *what)
{
    strv_take(walk->problems,
              str_fmt("%s:%zu:%zu: %s", walk->name, mark->line + 1, mark->column + 1, what));
}

/* The place of a byte, for errors that libyaml gives no line. */
static yaml_mark_t mark_of_offset(const char *text, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && text[i]; i++) {
        mark.column++;
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

static void complain_of_syntax(struct walk *walk)
{
    const yaml_parser_t *parser = &walk->parser;
    const char *what = parser->problem ? parser->problem : "cannot be read";
    yaml_mark_t mark = parser->error == YAML_READER_ERROR
                           ? mark_of_offset(walk->text, parser->problem_offset)
                           : parser->problem_mark;
    AUTO(str_free)
    char *text = str_fmt("not valid YAML: %s%s%s", what, parser->context ? " " : "",
                         parser->context ? parser->context : "");
    complain(walk, &mark, text);
}

/* The next event; false when there is none. The caller deletes it. */
static bool next_event(struct walk *walk, yaml_event_t *ret)
{
    if (walk->is_over)
        return false;
    if (yaml_parser_parse(&walk->parser, ret))
        return true;
    complain_of_syntax(walk);
    walk->is_over = true;
    return false;
}

static bool is_known_tag(const yaml_char_t *tag)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const known[] = {"str", "int", "bool", "float", "null", "seq", "map"};
    const char *text = (const char *)tag;
    bool is_known = !text || strcmp(text, "!") == 0;
    for (size_t i = 0; !is_known && i < COUNT_OF(known); i++)
        is_known = strncmp(text, prefix, sizeof(prefix) - 1) == 0 &&
                   strcmp(text + sizeof(prefix) - 1, known[i]) == 0;
    return is_known;
}

/* What a node must not have. */
static void check_node(struct walk *walk, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_ALIAS_EVENT) {
        anchor = event->data.alias.anchor;
    }
    if (anchor)
        complain(walk, &event->start_mark,
                 "anchors and aliases are not supported; repeat the value");
    if (!is_known_tag(tag))
        complain(walk, &event->start_mark, "tags are not supported");
}

/* Reads to the end of the node that begins with the event. */
static void skip_node(struct walk *walk, const yaml_event_t *first)
{
    size_t open =
        first->type == YAML_SEQUENCE_START_EVENT || first->type == YAML_MAPPING_START_EVENT;
    while (open > 0) {
        yaml_event_t event;
        if (!next_event(walk, &event))
            return;
        if (open > MAX_DEPTH) {
            complain(walk, &event.start_mark, "nested too deeply");
            walk->is_over = true;
        }
        if (event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT)
            open++;
        else if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
            open--;
        yaml_event_delete(&event);
    }
}

static bool has_zero_byte(const yaml_event_t *event)
{
    return memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL;
}

/* Appends the scalar to the entry's value. */
static void take_scalar(struct walk *walk, const yaml_event_t *event, struct yaml_entry *entry,
                        struct buf *value)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct expander expander = {expand_from_environment, NULL};
    size_t offset;
    if (has_zero_byte(event))
        complain(walk, &event->start_mark, "the value holds a zero byte");
    else if (event->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE || entry->problem)
        buf_add(value, text, len);
    else if (!expand_text(&expander, text, len, value, &offset, &entry->problem)) {
        entry->value_line = event->start_mark.line + 1;
        entry->value_column = event->start_mark.column + 1;
    }
}

/* A list of single values becomes a text; any other is ENTRY_OTHER. */
static void read_list(struct walk *walk, struct yaml_entry *entry)
{
    AUTO(buf_release) struct buf value = BUF_INIT;
    yaml_event_t event;
    entry->kind = ENTRY_LIST;
    while (next_event(walk, &event)) {
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        check_node(walk, &event);
        if (event.type == YAML_SCALAR_EVENT) {
            if (value.len > 0)
                buf_putc(&value, ',');
            take_scalar(walk, &event, entry, &value);
        } else if (!is_end) {
            entry->kind = ENTRY_OTHER;
            skip_node(walk, &event);
        }
        yaml_event_delete(&event);
        if (is_end)
            break;
    }
    entry->value = buf_take(&value);
}

static struct yaml_entry *add_entry(struct walk *walk, char *take_path, const yaml_event_t *key)
{
    struct yaml_file *file = walk->file;
    file->items = mem_resize(file->items, file->count + 1, sizeof(*file->items));
    struct yaml_entry *entry = &file->items[file->count++];
    *entry = (struct yaml_entry){.path = take_path,
                                 .kind = ENTRY_OTHER,
                                 .line = key->start_mark.line + 1,
                                 .column = key->start_mark.column + 1};
    return entry;
}

/* The path below above that a key makes, owned by the caller; NULL when it cannot be one. */
static char *path_of_key(struct walk *walk, const char *above, const yaml_event_t *key)
{
    const char *problem = NULL;
    check_node(walk, key);
    if (key->type != YAML_SCALAR_EVENT)
        problem = "a key must be a word";
    else if (has_zero_byte(key) || key->data.scalar.length == 0)
        problem = "a key must not be empty or hold a zero byte";
    else if (strcmp((const char *)key->data.scalar.value, "<<") == 0)
        problem = "merge keys are not supported; repeat the keys";
    else if (walk->file->count >= MAX_ENTRIES) {
        problem = "there are too many keys";
        walk->is_over = true;
    }
    if (problem) {
        complain(walk, &key->start_mark, problem);
        return NULL;
    }
    return str_fmt("%s%s%s", above, *above ? "." : "", (const char *)key->data.scalar.value);
}

static const struct yaml_entry *find_entry(const struct yaml_file *file, const char *path)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->items[i].path, path) == 0)
            return &file->items[i];
    return NULL;
}

static void read_keys(struct walk *walk, const char *above);

/* What stands behind a key. The entry may move while keys below it are added. */
static void read_node(struct walk *walk, const yaml_event_t *event, struct yaml_entry *entry)
{
    AUTO(buf_release) struct buf value = BUF_INIT;
    check_node(walk, event);
    entry->value_line = event->start_mark.line + 1;
    entry->value_column = event->start_mark.column + 1;
    if (event->type == YAML_SCALAR_EVENT) {
        entry->kind = ENTRY_VALUE;
        entry->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        take_scalar(walk, event, entry, &value);
        entry->value = buf_take(&value);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        read_list(walk, entry);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        AUTO(str_free) char *path = str_dup(entry->path);
        entry->kind = ENTRY_KEYS;
        read_keys(walk, path);
    }
}

/* A key and its value. */
static void read_pair(struct walk *walk, const char *above, const yaml_event_t *key)
{
    AUTO(str_free) char *path = path_of_key(walk, above, key);
    const struct yaml_entry *earlier = path ? find_entry(walk->file, path) : NULL;
    yaml_event_t value;
    if (earlier) {
        AUTO(str_free) char *what = str_fmt("%s stands on line %zu already", path, earlier->line);
        complain(walk, &key->start_mark, what);
    }
    if (!path)
        skip_node(walk, key);
    if (!next_event(walk, &value))
        return;
    if (path && !earlier)
        read_node(walk, &value, add_entry(walk, TAKE(path), key));
    else
        skip_node(walk, &value);
    yaml_event_delete(&value);
}

/* Everything up to the end of the mapping that has begun. */
static void read_keys(struct walk *walk, const char *above)
{
    yaml_event_t key;
    walk->depth++;
    while (next_event(walk, &key)) {
        bool is_end = key.type == YAML_MAPPING_END_EVENT;
        if (!is_end && walk->depth > MAX_DEPTH) {
            complain(walk, &key.start_mark, "nested too deeply");
            walk->is_over = true;
        } else if (!is_end) {
            read_pair(walk, above, &key);
        }
        yaml_event_delete(&key);
        if (is_end)
            break;
    }
    walk->depth--;
}

/* The document's only node: keys, or nothing at all. */
static void read_root(struct walk *walk, const yaml_event_t *event)
{
    bool is_empty = event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
                    event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    check_node(walk, event);
    if (event->type == YAML_MAPPING_START_EVENT) {
        read_keys(walk, "");
    } else {
        if (!is_empty)
            complain(walk, &event->start_mark, "expected keys with values, such as source:");
        skip_node(walk, event);
    }
}

static void read_stream(struct walk *walk)
{
    yaml_event_t event;
    size_t documents = 0;
    for (bool is_end = false; !is_end && next_event(walk, &event);) {
        is_end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            complain(walk, &event.start_mark, "a second document; a file holds one");
            walk->is_over = true;
        } else if (event.type != YAML_STREAM_START_EVENT && !is_end &&
                   event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT) {
            read_root(walk, &event);
        }
        yaml_event_delete(&event);
    }
}

void yaml_file_parse(const char *path, const char *text, struct yaml_file *ret,
                     struct strv *problems)
{
    struct walk walk = {.name = path, .text = text, .file = ret, .problems = problems};
    if (!yaml_parser_initialize(&walk.parser)) {
        strv_take(problems, str_fmt("could not read %s: out of memory", path));
        return;
    }
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, strlen(text));
    read_stream(&walk);
    yaml_parser_delete(&walk.parser);
}

void yaml_file_read(const char *path, struct yaml_file *ret, struct strv *problems)
{
    AUTO(str_wipe) char *text = text_file_read(path, problems);
    if (text)
        yaml_file_parse(path, text, ret, problems);
}
