/* Quoting of identifiers and literals for SQL text. Always quoted, whatever the word. */
#pragma once

#include <stdarg.h>

#include "base/buf.h"

/* "name" with inner quotes doubled. */
void quote_ident(struct buf *sql, const char *name);

/* "schema"."name" */
void quote_qualified(struct buf *sql, const char *schema, const char *name);

/* 'text', or E'text' when it has backslashes; NULL gives NULL. */
void quote_literal(struct buf *sql, const char *text);

/* Formats SQL: %I identifier, %L literal (both const char *), %s text, %d int, %u unsigned,
 * %l int64_t, %% percent. The result is owned by the caller. */
char *quote_sql(const char *fmt, ...);

/* The same, appended to a buffer. */
void quote_add(struct buf *sql, const char *fmt, ...);
void quote_add_args(struct buf *sql, const char *fmt, va_list args);
