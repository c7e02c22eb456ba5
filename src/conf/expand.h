/* ${NAME} in the values of files; $NAME stays as it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

/* What the name stands for, borrowed from context or the environment; NULL: it is not set. */
typedef const char *expand_lookup(const void *context, const char *name);

struct expander {
    expand_lookup *lookup;
    const void *context; /* borrowed: the caller's */
};

/* At *pos stands "${": appends what the name stands for and moves *pos behind "}". False: *pos
 * stays, *ret_problem (the caller's) says why, without anything of the value but the name. */
bool expand_one(const struct expander *expander, const char **pos, const char *end, struct buf *out,
                char **ret_problem) MUST_USE;

/* The whole text. False: *ret_offset is the place in it; out has what stands before. */
bool expand_text(const struct expander *expander, const char *text, size_t len, struct buf *out,
                 size_t *ret_offset, char **ret_problem) MUST_USE;

/* The environment of the process. */
const char *expand_from_environment(const void *context, const char *name);
