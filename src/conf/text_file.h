/* A whole configuration file in memory. */
#pragma once

#include "base/macros.h"
#include "base/strv.h"

/* The text, which may hold passwords (str_wipe()); NULL when it cannot be read: one problem is
 * added that says why. */
char *text_file_read(const char *path, struct strv *problems) MUST_USE;
