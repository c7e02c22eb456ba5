/* What pgstream has and trunkline does not: named to the user, never skipped in silence. */
#pragma once

#include <stddef.h>

struct unsupported {
    const char
        *name; /* variable behind its prefix; all that begin so when it ends in '_'; or NULL */
    const char *path; /* in a YAML file, with everything below it; or NULL */
    const char *same; /* the value that asks for what trunkline does anyway, or NULL */
};

extern const struct unsupported unsupported_table[];
extern const size_t unsupported_count;

enum support {
    SUPPORT_UNKNOWN,  /* not a name of pgstream's that is known here */
    SUPPORT_NONE,     /* must be refused */
    SUPPORT_NEEDLESS, /* says what is done anyway */
};

/* name is a variable's without its prefix. value may be NULL: not a single one. */
enum support support_of_env(const char *name, const char *value);
enum support support_of_path(const char *path, const char *value);
