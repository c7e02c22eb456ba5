/* What reading the settings needs beside them. Used by the files of this folder that read. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"
#include "base/strv.h"
#include "conf/given.h"
#include "conf/settings.h"

/* The later ones win. */
enum level { LEVEL_FILE, LEVEL_ENVIRONMENT, LEVEL_FLAGS, LEVEL_COUNT };

struct reader {
    struct settings *s; /* borrowed: the caller's */
    unsigned command;
    const char *command_name;
    struct given_list levels[LEVEL_COUNT];
    bool *has_failed;      /* owned: whether a value of the setting was refused */
    char *config;          /* owned: the file's path, or NULL */
    struct strv *problems; /* borrowed: the caller's; never hold a password */
};

/* Find values, for the levels, and mistakes. */
void read_file(struct reader *r);
void read_environment(struct reader *r);
void read_flags(struct reader *r, int argc, char **argv);

/* Sets what follows from what was given: mode, source, schema of the state. */
void derive_settings(struct reader *r);

/* The highest level's value that is not empty, or NULL. Borrowed: r. */
const struct given *reader_find(const struct reader *r, const char *setting);

void origin_set(struct settings *s, size_t index, char *take_text);
