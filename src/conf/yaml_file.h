/* A YAML file as a flat list: every key with its path (source.postgres.url) and its place. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/strv.h"

enum entry_kind {
    ENTRY_VALUE, /* a single value */
    ENTRY_LIST,  /* of single values */
    ENTRY_KEYS,  /* keys below it, which follow as entries of their own */
    ENTRY_OTHER, /* a list of lists or keys, an alias: not looked into */
};

struct yaml_entry {
    char *path;
    enum entry_kind kind;
    char *value;   /* of a list: its items, with commas between them; else NULL */
    bool is_plain; /* a value without quotes */
    char *problem; /* what is wrong with a ${NAME} in the value, or NULL */
    size_t line;   /* of the key, from 1, as the columns */
    size_t column;
    size_t value_line;
    size_t value_column;
};

struct yaml_file {
    struct yaml_entry *items; /* owned */
    size_t count;
};

#define YAML_FILE_INIT ((struct yaml_file){0})

/* ${NAME} in values outside single quotes stands for a variable of the environment. Anchors,
 * aliases, merge keys, tags of one's own, keys given twice and a second document are mistakes, each
 * added to problems as "path:line:column: what", which never holds a value. What could be read
 * before is in ret in any case. */
void yaml_file_parse(const char *path, const char *text, struct yaml_file *ret,
                     struct strv *problems);

/* The same for a file on disk; when it cannot be read, that is the only problem. */
void yaml_file_read(const char *path, struct yaml_file *ret, struct strv *problems);

/* Whether the value is empty, ~ or null: nothing has been given. */
bool yaml_entry_is_null(const struct yaml_entry *entry);

void yaml_file_release(struct yaml_file *file); /* AUTO handler */
