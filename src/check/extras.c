/* What the target's tables have beyond the source's, or instead of them. */
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"

/* --- something else of that name --- */

static const char kinds_sql[] =
    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), k.word, k.command,"
    " pg_catalog.quote_ident(pg_catalog.left(c.relname, 50) || '_before')"
    " FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) w(schema, name)"
    " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
    " JOIN (VALUES ('v', 'a view', 'VIEW'), ('m', 'a materialized view', 'MATERIALIZED VIEW'),"
    "  ('f', 'a foreign table', 'FOREIGN TABLE'), ('S', 'a sequence', 'SEQUENCE'),"
    "  ('i', 'an index', 'INDEX'), ('I', 'an index', 'INDEX'), ('c', 'a type', 'TYPE'))"
    "  k(kind, word, command) ON k.kind = c.relkind::text ORDER BY 1";

bool check_target_kinds(struct check *check, struct err *err)
{
    AUTO(buf_release) struct buf schemas = BUF_INIT;
    AUTO(buf_release) struct buf names = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    for (size_t i = 0; i < check->tables.count; i++) {
        if (check_is_routed(check, &check->tables.items[i]))
            continue;
        array_add(&schemas, check->tables.items[i].schema);
        array_add(&names, check->tables.items[i].name);
    }
    const char *params[] = {array_end(&schemas), array_end(&names)};
    if (!conn_query_params(check->target, kinds_sql, 2, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_error(check, "target_kind",
                    str_fmt("%s is %s on the target, and a table on the source",
                            rows_text(rows, i, 0), rows_text(rows, i, 1)),
                    str_fmt("ALTER %s %s RENAME TO %s; -- or drop it, or leave the table out with "
                            "--excluded-tables",
                            rows_text(rows, i, 2), rows_text(rows, i, 0), rows_text(rows, i, 3)));
    return true;
}

/* --- columns that must be given a value --- */

static const char required_sql[] =
    "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
    " WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull"
    " AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AND c.oid >= 16384"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid"
    "  AND t.typdefault IS NOT NULL) ORDER BY 1, 2, 3";

bool check_target_required(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->target, required_sql, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const char *schema = rows_text(rows, i, 0), *name = rows_text(rows, i, 1);
        const char *column = rows_text(rows, i, 2);
        const struct table *table = table_list_find(&check->tables, schema, name);
        const struct keeper_table *kept = table ? check_unfinished(check, table) : NULL;
        if (!table || check_is_routed(check, table) || (kept && kept->is_ours) ||
            table_column(table, column))
            continue;
        check_error(check, "target_required",
                    str_fmt("column \"%s\" of %s.%s on the target is NOT NULL and has no default, "
                            "and the source has no such column",
                            column, schema, name),
                    quote_sql("ALTER TABLE %I.%I ALTER COLUMN %I DROP NOT NULL; -- or give it a "
                              "default",
                              schema, name, column));
    }
    return true;
}

/* --- types that hold more --- */

static int rank_of(const char *type_name, const char *const *ranks)
{
    for (int i = 0; ranks[i]; i++)
        if (strcmp(type_name, ranks[i]) == 0)
            return i;
    return -1;
}

/* Whether every value of the source's modifier fits the target's: same base type. numeric: its
 * scale changes what is shown. */
static bool has_room(const struct column *column, const struct column *there)
{
    enum { HEADER = 4, SCALE = 0x7ff };
    bool is_numeric = strcmp(column->type_name, "numeric") == 0;
    bool is_text = strcmp(column->type_name, "character varying") == 0 ||
                   strcmp(column->type_name, "bit varying") == 0;
    bool is_time = strncmp(column->type_name, "time", 4) == 0;
    if (!is_numeric && !is_text && !is_time)
        return false;
    if (there->typmod < 0)
        return true;
    if (column->typmod < 0)
        return false;
    if (is_numeric && ((column->typmod - HEADER) & SCALE) != ((there->typmod - HEADER) & SCALE))
        return false;
    return there->typmod >= column->typmod;
}

bool check_is_wider(const struct column *column, const struct column *there)
{
    static const char *const numbers[] = {"smallint", "integer", "bigint", "numeric", NULL};
    static const char *const floats[] = {"real", "double precision", NULL};
    static const char *const texts[] = {"bpchar", "character varying", "name", "text", NULL};
    static const char *const *const families[] = {numbers, floats};
    if (strcmp(column->type_full, there->type_full) == 0)
        return false;
    if (strcmp(column->type_name, there->type_name) == 0)
        return has_room(column, there);
    if (strcmp(column->type_name, "numeric") == 0 || there->typmod >= 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        int from = rank_of(column->type_name, families[i]);
        if (from >= 0 && rank_of(there->type_name, families[i]) > from)
            return true;
    }
    return rank_of(column->type_name, texts) >= 0 &&
           (strcmp(there->type_name, "text") == 0 ||
            strcmp(there->type_name, "character varying") == 0);
}
