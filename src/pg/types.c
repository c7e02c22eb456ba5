/* Binary safety of types, read once from pg_type. See types.h. */
#include "pg/types.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"

struct type {
    uint32_t oid;
    enum types_answer answer;
    char *name; /* owned */
};

struct types {
    struct type *items; /* ascending by oid */
    size_t count;
};

/* Each type with the types inside it; then what the worst of them says. Row types of tables, which
 * are many, only where a column of a table that is not built in has them. */
static const char types_sql[] =
    "WITH RECURSIVE wanted AS MATERIALIZED ("
    "  SELECT t.oid, t.typrelid FROM pg_catalog.pg_type t"
    "    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typlen = -1"
    "    LEFT JOIN pg_catalog.pg_class c ON c.oid = coalesce(e.typrelid, t.typrelid)"
    "    WHERE c.relkind IS NULL OR c.relkind = 'c'"
    "  UNION SELECT t.oid, t.typrelid FROM pg_catalog.pg_attribute a"
    "    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    "    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped),"
    " edge AS MATERIALIZED ("
    "  SELECT oid, typelem AS inside FROM pg_catalog.pg_type WHERE typelem <> 0 AND typlen = -1"
    "  UNION ALL SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'"
    "  UNION ALL SELECT w.oid, a.atttypid FROM wanted w"
    "    JOIN pg_catalog.pg_attribute a ON a.attrelid = w.typrelid"
    "    WHERE w.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped"
    "  UNION ALL SELECT rngtypid, rngsubtype FROM pg_catalog.pg_range"
    "  UNION ALL SELECT rngmultitypid, rngsubtype FROM pg_catalog.pg_range),"
    " part(oid, inside, depth) AS (SELECT oid, oid, 0 FROM wanted"
    "  UNION SELECT p.oid, e.inside, 1 FROM part p JOIN edge e ON e.oid = p.inside)"
    " SELECT p.oid,"
    "   bool_or(t.typname ~ '^(reg|(oidvector|int2vector|tsquery)$)'"
    "           AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace OR %s AND t.oid = "
    "'pg_catalog.interval'::pg_catalog.regtype),"
    "   bool_or(p.depth > 0 AND (t.typsend = 0 OR t.typreceive = 0)),"
    "   bool_or(p.depth = 0 AND (t.typsend = 0 OR t.typreceive = 0)),"
    "   pg_catalog.format_type(p.oid, -1)"
    " FROM part p JOIN pg_catalog.pg_type t ON t.oid = p.inside GROUP BY p.oid ORDER BY p.oid";

bool types_read(struct conn *conn, int target_version, struct types **ret_types, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    bool interval_is_unsafe = conn_version(conn) >= 170000 && target_version < 170000;
    AUTO(str_free) char *sql = str_fmt(types_sql, interval_is_unsafe ? "true" : "false");
    if (!conn_query(conn, sql, &rows, err))
        return err_wrap(err, "could not read the types");
    struct types *types = mem_alloc(sizeof(*types));
    types->count = (size_t)rows_count(rows);
    types->items = mem_alloc(types->count * sizeof(*types->items));
    for (int i = 0; i < rows_count(rows); i++) {
        enum types_answer answer = TYPES_BINARY;
        if (rows_bool(rows, i, 1) || rows_bool(rows, i, 2))
            answer = TYPES_TEXT;
        else if (rows_bool(rows, i, 3))
            answer = TYPES_SCALAR_TEXT;
        types->items[i] = (struct type){
            .oid = rows_oid(rows, i, 0), .answer = answer, .name = str_dup(rows_text(rows, i, 4))};
    }
    *ret_types = types;
    return true;
}

void types_free(struct types **types)
{
    if (!*types)
        return;
    for (size_t i = 0; i < (*types)->count; i++)
        free((*types)->items[i].name);
    free((*types)->items);
    free(*types);
    *types = NULL;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = ((const struct type *)a)->oid;
    uint32_t right = ((const struct type *)b)->oid;
    return (left > right) - (left < right);
}

static const struct type *find(const struct types *types, uint32_t type_oid)
{
    struct type key = {.oid = type_oid};
    return types ? bsearch(&key, types->items, types->count, sizeof(key), compare) : NULL;
}

bool types_is_plain(uint32_t type_oid)
{
    static const uint16_t plain[] = {
        16,   17,   18,   19,   20,   21,   23,   25,   26, /* bool … oid */
        114,  650,  700,  701,  829,  869,                  /* json, cidr, floats, macaddr, inet */
        1000, 1005, 1007, 1009, 1015, 1016, 1022, 1231,     /* arrays of bool, int, text, number */
        1042, 1043, 1082, 1083, 1114, 1184, 1266,           /* char(n), varchar, date and times */
        1700, 2950, 2951, 3802,                             /* numeric, uuid, uuid[], jsonb */
    };
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (plain[i] == type_oid)
            return true;
    return false;
}

enum types_answer types_ask(const struct types *types, uint32_t type_oid)
{
    if (types_is_plain(type_oid))
        return TYPES_BINARY;
    const struct type *found = find(types, type_oid);
    return found ? found->answer : TYPES_UNKNOWN;
}

const char *types_name(const struct types *types, uint32_t type_oid)
{
    const struct type *found = find(types, type_oid);
    return found ? found->name : NULL;
}
