/* A file of NAME=value lines, as .env files are written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/strv.h"

struct env_entry {
    char *name;
    char *value;
    size_t line; /* from 1, as the columns */
    size_t name_column;
    size_t value_column;
    char *problem; /* what is wrong with a ${NAME} in it, or NULL; the value is of no use then */
    size_t problem_column;
};

struct env_file {
    struct env_entry *items; /* owned */
    size_t count;
};

#define ENV_FILE_INIT ((struct env_file){0})

/* Comments, blank lines, `export`, 'single' and "double" quotes (with \" \\ \n \t \$ inside), bare
 * values up to the end of the line or a blank and '#'. ${NAME} outside single quotes stands for a
 * variable of the environment or, when that has none, for one of the lines above. Adds one
 * "path:line:column: what" to problems for each line that cannot be read; these never hold a value.
 * Entries that could be read are in ret in any case. */
void env_file_parse(const char *path, const char *text, struct env_file *ret,
                    struct strv *problems);

/* The same for a file on disk; when it cannot be read, that is the only problem. */
void env_file_read(const char *path, struct env_file *ret, struct strv *problems);

void env_file_release(struct env_file *file); /* AUTO handler */
