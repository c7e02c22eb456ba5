/* A private temporary directory, for pg_dump's archive and the like. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Under $TMPDIR or /tmp, for this user only. *ret_path is owned by the caller. */
bool work_dir_make(char **ret_path, struct err *err);

/* Removes it with the files in it, frees the path. */
void work_dir_remove(char **path);
