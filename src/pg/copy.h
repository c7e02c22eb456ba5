/* COPY in both directions, bytes unparsed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

/* Starts COPY … TO STDOUT. */
bool copy_out_begin(struct conn *conn, const char *sql, struct err *err);

/* The next row (or header, or trailer) as the server sent it; *ret_data is NULL at the end, when
 * the command has succeeded. Borrowed until the next call. */
bool copy_out_next(struct conn *conn, const char **ret_data, size_t *ret_len, struct err *err);

/* Starts COPY … FROM STDIN. */
bool copy_in_begin(struct conn *conn, const char *sql, struct err *err);

/* Sends bytes; any cut is allowed. Returns when they have left for the socket. */
bool copy_in_write(struct conn *conn, const char *data, size_t len, struct err *err);

/* Ends the COPY. *ret_rows is what the server counted. */
bool copy_in_end(struct conn *conn, int64_t *ret_rows, struct err *err);
