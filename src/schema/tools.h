/* Finding pg_dump and pg_restore. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct schema_tools {
    char *pg_dump; /* owned: path */
    char *pg_restore;
    int major; /* of both */
};

#define SCHEMA_TOOLS_INIT ((struct schema_tools){0})

/* Looks into bindir when it is set (and nowhere else), or else into PATH and
 * /usr/lib/postgresql/<version>/bin, and takes the oldest pair that is as new as the source.
 * Versions as from conn_version(). None: ERR_CONFIG, with what to install. */
bool schema_tools_find(const char *bindir, int source_version, int target_version,
                       struct schema_tools *ret_tools, struct err *err);
void schema_tools_release(struct schema_tools *tools); /* AUTO handler */
