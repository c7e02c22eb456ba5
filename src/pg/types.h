/* Which types travel in binary. Binary is unsafe for (DESIGN 3): types without send or receive
 * function; reg* types, whose binary form is an OID of the other server; oidvector, int2vector and
 * (since 14.23, 16.15, 17.11, 18.6) tsquery, which do not read their own empty form; tsquery also
 * because its operands lie in another order when they have come in binary (a row without a key is
 * found by its bytes); interval from 17 and later to 16 and earlier; and whatever contains one of
 * them (array, composite, domain, range). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

struct types; /* NULL: none are read, and only plain ones are known */

enum types_answer {
    TYPES_BINARY,
    TYPES_SCALAR_TEXT, /* no send function: COPY needs text, pgoutput sends text by itself */
    TYPES_TEXT,        /* must be asked for as text, in COPY and in the stream */
    TYPES_UNKNOWN,     /* made, or first used in a column, after the list was read */
};

/* Reads the types that columns of the database have or may get. target_version: as from
 * conn_version(). */
bool types_read(struct conn *conn, int target_version, struct types **ret_types, struct err *err);
void types_free(struct types **types);

/* The common built-in types that are TYPES_BINARY between all versions: no list is needed. */
bool types_is_plain(uint32_t type_oid);

/* format_type(type, -1); NULL for a type made since, or when none are read. Borrowed. */
const char *types_name(const struct types *types, uint32_t type_oid);

enum types_answer types_ask(const struct types *types, uint32_t type_oid);
