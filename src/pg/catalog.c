/* Catalog reads: two queries, tables and columns, joined here. See catalog.h. */
#include "pg/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"

/* A replica identity's index: the chosen one, or the primary key; usable only when it is
 * immediate and valid, and without generated columns (15 sends NULL for them). */
#define USER_TABLES                                                                               \
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident,"            \
    " c.relispartition, c.relfilenode, c.relpages, c.relnamespace,"                               \
    " c.relkind = 'p' OR am.amname = 'heap' AS is_heap,"                                          \
    " (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid"                   \
    "    AND i.indisvalid AND i.indimmediate AND i.indisunique"                                   \
    "    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident"                                  \
    "             WHEN 'd' THEN i.indisprimary ELSE false END"                                    \
    "    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid"          \
    "        AND a.attgenerated <> '' AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))) AS "   \
    "identity_index,"                                                                             \
    " (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid"                   \
    "    AND i.indisprimary AND i.indisvalid AND i.indimmediate) AS primary_index"                \
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"        \
    " LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam"                                          \
    " WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'"                                  \
    " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> $1"          \
    " AND NOT " CATALOG_IS_KEEPER(                                                                \
        "n.oid") " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid"      \
                 "   AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = " \
                 "'e')"

/* 18 refuses UPDATE and DELETE of a published table whose whole row is its identity when that has
 * generated columns, which are not published. */
#define WHOLE_ROW                                                                               \
    "(t.relreplident = 'f' AND (pg_catalog.current_setting('server_version_num')::int < 180000" \
    " OR NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid"            \
    "  AND a.attgenerated <> '' AND NOT a.attisdropped)))"

static const char tables_sql[] =
    "SELECT t.oid, t.nspname, t.relname, t.relkind, t.relpersistence, t.relreplident,"
    " t.relispartition, t.relfilenode, t.is_heap,"
    " " WHOLE_ROW " OR t.identity_index IS NOT NULL,"
    " CASE WHEN t.relkind = 'r' THEN greatest(t.relpages, 0) * "
    "   pg_catalog.current_setting('block_size')::int8 ELSE 0 END,"
    " rn.nspname, r.relname, t.identity_index, t.primary_index FROM (" USER_TABLES ") t"
    " LEFT JOIN pg_catalog.pg_class r"
    "   ON t.relispartition AND r.oid = pg_catalog.pg_partition_root(t.oid)"
    " LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace"
    " ORDER BY t.nspname COLLATE \"C\", t.relname COLLATE \"C\"";

/* $1, $2, $3: oid, identity_index and primary_index of the tables, in their order. */
static const char columns_sql[] =
    "WITH RECURSIVE base (domain, oid, typmod) AS ("
    "  SELECT d.oid, d.typbasetype, d.typtypmod FROM pg_catalog.pg_type d WHERE d.typtype = 'd'"
    "  UNION ALL SELECT base.domain, d.typbasetype, d.typtypmod"
    "  FROM base JOIN pg_catalog.pg_type d ON d.oid = base.oid AND d.typtype = 'd'),"
    " shown AS MATERIALIZED (SELECT base.* FROM base JOIN pg_catalog.pg_type b ON b.oid = base.oid"
    "  WHERE b.typtype <> 'd')"
    " SELECT t.oid, a.attname, pg_catalog.format_type(a.atttypid, -1),"
    " pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attnum,"
    " a.attgenerated <> '', a.attidentity = 'a', a.attnotnull,"
    " a.attnum = ANY (ii.indkey[0:ii.indnkeyatts - 1]),"
    " a.attnum = ANY (pi.indkey[0:pi.indnkeyatts - 1]), coalesce(shown.oid, a.atttypid),"
    " CASE WHEN shown.oid IS NULL THEN a.atttypmod ELSE shown.typmod END"
    " FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[]),"
    "  pg_catalog.unnest($3::oid[])) WITH ORDINALITY AS t(oid, identity_index, primary_index, n)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid"
    " LEFT JOIN shown ON shown.domain = a.atttypid"
    " LEFT JOIN pg_catalog.pg_index ii ON ii.indexrelid = t.identity_index"
    " LEFT JOIN pg_catalog.pg_index pi ON pi.indexrelid = t.primary_index"
    " WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY t.n, a.attnum";

static void column_read(const struct rows *rows, int row, struct column *column)
{
    *column = (struct column){
        .name = str_dup(rows_text(rows, row, 1)),
        .type_name = str_dup(rows_text(rows, row, 2)),
        .type_full = str_dup(rows_text(rows, row, 3)),
        .type_oid = rows_oid(rows, row, 4),
        .typmod = (int32_t)rows_int(rows, row, 5),
        .attnum = (int16_t)rows_int(rows, row, 6),
        .is_generated = rows_bool(rows, row, 7),
        .is_identity_always = rows_bool(rows, row, 8),
        .is_not_null = rows_bool(rows, row, 9),
        .is_identity_key = rows_bool(rows, row, 10),
        .is_primary_key = rows_bool(rows, row, 11),
        .shown_oid = rows_oid(rows, row, 12),
        .shown_typmod = (int32_t)rows_int(rows, row, 13),
    };
}

static void table_read(const struct rows *rows, int row, struct table *table)
{
    *table = (struct table){
        .oid = rows_oid(rows, row, 0),
        .schema = str_dup(rows_text(rows, row, 1)),
        .name = str_dup(rows_text(rows, row, 2)),
        .kind = rows_text(rows, row, 3)[0],
        .persistence = rows_text(rows, row, 4)[0],
        .replica_identity = rows_text(rows, row, 5)[0],
        .is_partition = rows_bool(rows, row, 6),
        .filenode = rows_oid(rows, row, 7),
        .is_heap = rows_bool(rows, row, 8),
        .has_identity = rows_bool(rows, row, 9),
        .bytes = rows_int(rows, row, 10),
        .root_schema = str_dup(rows_text(rows, row, 11)),
        .root_name = str_dup(rows_text(rows, row, 12)),
    };
}

static void table_release(struct table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].name);
        free(table->columns[i].type_name);
        free(table->columns[i].type_full);
    }
    free(table->columns);
    free(table->schema);
    free(table->name);
    free(table->root_schema);
    free(table->root_name);
}

void table_list_release(struct table_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        table_release(&list->items[i]);
    free(list->items);
    *list = TABLE_LIST_INIT;
}

/* The columns come in the tables' order: one pass joins them. */
static void join_columns(struct table_list *list, const struct rows *rows)
{
    int row = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct table *table = &list->items[i];
        int first = row;
        while (row < rows_count(rows) && rows_oid(rows, row, 0) == table->oid)
            row++;
        table->column_count = (size_t)(row - first);
        table->columns = mem_alloc(table->column_count * sizeof(*table->columns));
        for (int c = first; c < row; c++)
            column_read(rows, c, &table->columns[c - first]);
    }
}

struct names {
    const char *schema;
    const char *name;
};

static int compare_names(const void *key, const void *item)
{
    const struct names *names = key;
    const struct table *table = item;
    int order = strcmp(names->schema, table->schema);
    return order ? order : strcmp(names->name, table->name);
}

static int compare_tables(const void *a, const void *b)
{
    const struct table *left = a;
    const struct names names = {left->schema, left->name};
    return compare_names(&names, b);
}

/* One column of OIDs as an array. Owned. */
static char *oids_of(const struct rows *rows, int column)
{
    struct buf array = BUF_INIT;
    for (int row = 0; row < rows_count(rows); row++) {
        const char *oid = rows_text(rows, row, column);
        buf_fmt(&array, "%c%s", row ? ',' : '{', oid ? oid : "NULL");
    }
    buf_puts(&array, array.len ? "}" : "{}");
    return buf_take(&array);
}

static bool read_columns(struct conn *conn, const struct rows *tables, struct rows **ret_columns,
                         struct err *err)
{
    AUTO(str_free) char *oids = oids_of(tables, 0);
    AUTO(str_free) char *identity_indexes = oids_of(tables, 13);
    AUTO(str_free) char *primary_indexes = oids_of(tables, 14);
    const char *params[] = {oids, identity_indexes, primary_indexes};
    return conn_query_params(conn, columns_sql, 3, params, ret_columns, err);
}

bool catalog_ask(struct conn *conn, const char *keeper, struct catalog_question *ret_question,
                 struct err *err)
{
    const char *params[] = {keeper};
    /* in a transaction of the caller's its snapshot decides */
    *ret_question = (struct catalog_question){.conn = conn, .is_ours = !conn_in_transaction(conn)};
    return (!ret_question->is_ours ||
            conn_exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err)) &&
           conn_send(conn, tables_sql, 1, params, err);
}

bool catalog_answer(const struct catalog_question *question, struct table_list *ret_list,
                    struct err *err)
{
    AUTO(rows_free) struct rows *tables = NULL;
    AUTO(rows_free) struct rows *columns = NULL;
    if (!conn_receive(question->conn, &tables, err) ||
        !read_columns(question->conn, tables, &columns, err) ||
        (question->is_ours && !conn_exec(question->conn, "COMMIT", err)))
        return false;
    struct table_list list = {.count = (size_t)rows_count(tables)};
    list.items = mem_alloc(list.count * sizeof(*list.items));
    for (int i = 0; i < rows_count(tables); i++)
        table_read(tables, i, &list.items[i]);
    join_columns(&list, columns);
    if (list.count) /* the server's order is that of its encoding */
        qsort(list.items, list.count, sizeof(*list.items), compare_tables);
    *ret_list = list;
    return true;
}

bool catalog_tables(struct conn *conn, const char *keeper, struct table_list *ret_list,
                    struct err *err)
{
    struct catalog_question question;
    return (catalog_ask(conn, keeper, &question, err) &&
            catalog_answer(&question, ret_list, err)) ||
           err_wrap(err, "could not read the catalog");
}

bool catalog_measure(struct conn *conn, struct table_list *list, struct err *err)
{
    AUTO(buf_release) struct buf oids = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    buf_putc(&oids, '{');
    for (size_t i = 0; i < list->count; i++)
        buf_fmt(&oids, "%s%u", i ? "," : "", list->items[i].oid);
    buf_putc(&oids, '}');
    const char *params[] = {oids.data};
    if (!conn_query_params(conn,
                           "SELECT coalesce(pg_catalog.pg_relation_size(u.oid), 0)"
                           " FROM ROWS FROM (unnest($1::pg_catalog.oid[]))"
                           "   WITH ORDINALITY AS u(oid, n) ORDER BY u.n",
                           1, params, &rows, err))
        return err_wrap(err, "could not measure the tables");
    for (int i = 0; i < rows_count(rows); i++)
        list->items[i].bytes = list->items[i].kind == 'r' ? rows_int(rows, i, 0) : 0;
    return true;
}

void table_list_filter(struct table_list *list, bool (*keep)(const struct table *, void *),
                       void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (keep(&list->items[i], arg))
            list->items[kept++] = list->items[i];
        else
            table_release(&list->items[i]);
    }
    list->count = kept;
}

const struct table *table_list_find(const struct table_list *list, const char *schema,
                                    const char *name)
{
    const struct names names = {schema, name};
    if (!list->count)
        return NULL;
    return bsearch(&names, list->items, list->count, sizeof(*list->items), compare_names);
}

const struct table *table_list_find_oid(const struct table_list *list, uint32_t oid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].oid == oid)
            return &list->items[i];
    return NULL;
}

const struct table *table_list_goal(const struct table_list *list, const struct table *table,
                                    bool via_root)
{
    if (via_root && table->root_name)
        return table_list_find(list, table->root_schema, table->root_name);
    return table_list_find(list, table->schema, table->name);
}

bool table_is_leaf_of(const struct table *table, const struct table *root)
{
    return table->root_name && strcmp(table->root_name, root->name) == 0 &&
           strcmp(table->root_schema, root->schema) == 0;
}

const struct column *table_column(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    return NULL;
}

char *table_label(const struct table *table)
{
    return str_fmt("%s.%s", table->schema, table->name);
}

char *table_signature(const struct table *table)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < table->column_count; i++)
        quote_add(&text, "%I %u %d\n", table->columns[i].name, table->columns[i].type_oid,
                  table->columns[i].typmod);
    return buf_take(&text);
}
