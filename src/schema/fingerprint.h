/* A fingerprint of the catalog, to notice DDL between a snapshot and pg_dump. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pg/conn.h"

/* Whatever pg_dump reads, as the current transaction's snapshot shows it (without one: now), but
 * for the schema named keeper and temporary objects. Two are equal when no definition changed
 * between them. *ret_text is owned by the caller. */
bool schema_fingerprint(struct conn *source, const char *keeper, char **ret_text, struct err *err);
