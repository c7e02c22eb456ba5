/* A NOT NULL of a column that a table only inherits: pg_dump 18 writes it among the constraints of
 * the table, where servers before 18 cannot read it. They have it as a property of the column. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/* Whether the query is a CREATE TABLE with such constraints. If so, appends to adapted the same
 * without them, and an ALTER TABLE for each. What follows the CREATE TABLE is kept. */
bool not_null_adapt(const char *query, struct buf *adapted);
