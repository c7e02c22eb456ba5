/* Places of settings in YAML files: keys joined by dots, as in source.postgres.url. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

/* Index of the setting that stands there, or -1. */
int setting_by_path(const char *path);

/* Whether settings stand below it. */
bool path_is_inner(const char *path);

/* The place nearest to a mistyped one: beside it, of the same last word, or alike. Owned by the
 * caller. NULL: none is near. */
char *nearest_path(const char *path) MUST_USE;
