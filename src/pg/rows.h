/* What a query returned. Owner: whoever asked. Rows and columns count from 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows;

void rows_free(struct rows **rows); /* AUTO handler */

int rows_count(const struct rows *rows);
int rows_columns(const struct rows *rows);

/* Rows inserted, updated, deleted or copied by the command. */
int64_t rows_affected(const struct rows *rows);

/* NULL for SQL's NULL. Borrowed from rows. */
const char *rows_text(const struct rows *rows, int row, int column);
bool rows_bool(const struct rows *rows, int row, int column);    /* NULL gives false */
int64_t rows_int(const struct rows *rows, int row, int column);  /* NULL gives 0 */
uint32_t rows_oid(const struct rows *rows, int row, int column); /* NULL gives 0 */
uint64_t rows_lsn(const struct rows *rows, int row, int column); /* NULL gives 0 */

/* Of the result's own description. */
const char *rows_name(const struct rows *rows, int column);
uint32_t rows_type(const struct rows *rows, int column);
int32_t rows_typmod(const struct rows *rows, int column);
