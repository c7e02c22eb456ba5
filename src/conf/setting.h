/* One row of the table of settings, and the conversions between its text and its value. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/macros.h"
#include "conf/settings.h"

enum setting_type {
    SETTING_STRING,   /* char * */
    SETTING_URL,      /* char *, may hold a password: never shown as it is */
    SETTING_BOOL,     /* bool */
    SETTING_INT,      /* int */
    SETTING_BYTES,    /* int64_t */
    SETTING_DURATION, /* int64_t, milliseconds */
    SETTING_LIST,     /* struct strv of table patterns */
    SETTING_ENUM,     /* an enum whose values are the indexes of choices */
};

struct setting {
    const char *name; /* part_size: the flag is --part-size, the variable TRUNKLINE_PART_SIZE */
    const char *path; /* where it stands in a YAML file: copy.part_size */
    /* Further spellings, each list with NULL behind the last, or NULL. */
    const char *const *paths; /* places in a YAML file */
    const char *const *names; /* variables, behind PGSTREAM_ or TRUNKLINE_: pgstream's own */
    const char *const *flags; /* without their dashes */
    const char *def;          /* the default, written as a user would */
    const char *word;         /* what help shows for the value; NULL: from the type */
    const char *help;
    const char *const *choices; /* of an enum, NULL behind the last */
    /* What is wrong with a text that is not empty, or NULL. For strings and URLs. */
    const char *(*check)(const char *text);
    size_t offset; /* of the field in struct settings */
    int64_t min;
    int64_t max;
    enum setting_type type;
    unsigned commands; /* that accept it */
    unsigned required; /* of those, the ones that need it */
    bool is_flag_only; /* says how to run once: not in files, not in the environment */
    bool is_bare_ms;   /* a number without a unit is milliseconds in a YAML file */
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* "--part-size" without its dashes; "TRUNKLINE_PART_SIZE". Owned by the caller. */
char *setting_flag(const struct setting *setting) MUST_USE;
char *setting_env(const struct setting *setting) MUST_USE;

/* Index of the setting of that name, which must exist. */
size_t setting_index(const char *name);

/* Stores the text's value in its field. The error names neither setting nor place; it never holds
 * the text of a URL. */
bool setting_parse(const struct setting *setting, const char *text, struct settings *s,
                   struct err *err) MUST_USE;

/* What stands for the value in the help: "N", "SIZE", "stop|drop". Owned by the caller. */
char *setting_word(const struct setting *setting) MUST_USE;

/* The field's value as a user would write it; URLs without passwords. Owned by the caller. */
char *setting_text(const struct setting *setting, const struct settings *s) MUST_USE;

/* Frees what the field owns. */
void setting_release(const struct setting *setting, struct settings *s);

/* The value that the text stands for, in one form for all its spellings: equal texts are equal
 * values. Of a URL and a string the text itself: it may hold a password. NULL: not a value. Owned
 * by the caller. */
char *setting_canonical(const struct setting *setting, const char *text) MUST_USE;

/* Where the field's value came from: "default", "file.env:3 NAME", "environment NAME", "flag --x",
 * "derived from NAME". */
const char *setting_origin(const struct setting *setting, const struct settings *s);
