/* Parts: planning, SQL, opening. See part.h. */
#include "source/part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"

enum { KEY_CHARS = 80 };

static void add(struct part_list *list, const struct part *part)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = *part;
}

int part_plan(struct part_list *list, const struct table *table, bool is_binary, int64_t part_bytes,
              int64_t block_bytes)
{
    int64_t blocks = table->bytes / block_bytes;
    int64_t step = MAX_OF(part_bytes / block_bytes, (int64_t)1);
    int64_t count = table->is_heap ? (blocks + step - 1) / step : 1;
    count = MAX_OF(count, (int64_t)1);
    step = (blocks + count - 1) / count; /* even parts, no small remainder */
    for (int64_t i = 0; i < count; i++) {
        struct part part = {
            .table = table,
            .number = (int)i,
            .first_block = i * step,
            .end_block = i + 1 == count ? -1 : (i + 1) * step,
            .bytes = table->bytes / count,
            .is_whole = count == 1,
            .is_binary = is_binary,
        };
        add(list, &part);
    }
    return (int)count;
}

void part_plan_restless(struct part_list *list, const struct table *table, bool is_binary)
{
    struct part part = {
        .table = table,
        .end_block = -1,
        .bytes = table->bytes,
        .is_whole = true,
        .is_binary = is_binary,
        .is_restless = true,
    };
    add(list, &part);
}

void part_list_hurry(struct part_list *list, int count)
{
    for (size_t i = list->count - (size_t)count; i < list->count; i++)
        list->items[i].is_urgent = true;
}

void part_list_route(struct part_list *list, int count, const struct table *to)
{
    for (size_t i = list->count - (size_t)count; i < list->count; i++)
        list->items[i].to = to;
}

static int compare_parts(const void *a, const void *b)
{
    const struct part *left = a;
    const struct part *right = b;
    if (left->is_urgent != right->is_urgent)
        return left->is_urgent ? -1 : 1;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? 1 : -1;
    if (left->table != right->table)
        return left->table < right->table ? -1 : 1;
    return left->number - right->number;
}

void part_list_sort(struct part_list *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), compare_parts);
}

void part_list_release(struct part_list *list)
{
    free(list->items);
    *list = PART_LIST_INIT;
}

/* From where the part's rows are read, in their order on disk. */
static void put_from(struct buf *sql, const struct part *part)
{
    quote_add(sql, " FROM ONLY %I.%I", part->table->schema, part->table->name);
    if (part->is_whole)
        return;
    buf_fmt(sql, " WHERE ctid >= '(%" PRId64 ",0)'::tid", part->first_block);
    if (part->end_block >= 0)
        buf_fmt(sql, " AND ctid < '(%" PRId64 ",0)'::tid", part->end_block);
}

/* The columns that are written: all but the generated ones. A table without columns has no list:
 * "()" is no SQL. */
static void put_columns(struct buf *sql, const struct table *table, const char *before,
                        const char *after)
{
    const char *glue = before;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].is_generated)
            continue;
        buf_puts(sql, glue);
        quote_ident(sql, table->columns[i].name);
        glue = ", ";
    }
    if (strcmp(glue, ", ") == 0)
        buf_puts(sql, after);
}

static const char *format_of(const struct part *part)
{
    return part->is_binary ? " (FORMAT binary)" : "";
}

char *part_read_sql(const struct part *part)
{
    struct buf sql = BUF_INIT;
    const struct table *table = part->table;
    buf_puts(&sql, "COPY ");
    if (part->is_whole) { /* COPY of a table never reads its children */
        quote_qualified(&sql, table->schema, table->name);
        put_columns(&sql, table, " (", ")");
    } else {
        buf_puts(&sql, "(SELECT");
        put_columns(&sql, table, " ", "");
        put_from(&sql, part);
        buf_putc(&sql, ')');
    }
    buf_fmt(&sql, " TO STDOUT%s", format_of(part));
    return buf_take(&sql);
}

char *part_write_sql(const struct part *part)
{
    struct buf sql = BUF_INIT;
    const struct table *to = part->to ? part->to : part->table;
    buf_puts(&sql, "COPY ");
    quote_qualified(&sql, to->schema, to->name);
    put_columns(&sql, part->table, " (", ")");
    buf_fmt(&sql, " FROM STDIN%s", format_of(part));
    return buf_take(&sql);
}

/* The lock fails when the name no longer leads to a table: dropped or renamed. */
static bool lock_table(struct conn *source, const struct table *table, bool *ret_is_gone,
                       struct err *err)
{
    struct err why = {0};
    *ret_is_gone = false;
    if (conn_execf(source, &why, "LOCK TABLE ONLY %I.%I IN ACCESS SHARE MODE", table->schema,
                   table->name))
        return true;
    *ret_is_gone = strcmp(why.sqlstate, "42P01") == 0 || strcmp(why.sqlstate, "3F000") == 0 ||
                   strcmp(why.sqlstate, "42809") == 0;
    return *ret_is_gone || err_copy(err, &why);
}

/* File and name of now, read through the caches that see committed DDL, against the snapshot's. */
static bool is_same_file(struct conn *source, const struct table *table, bool *ret_is_same,
                         struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf name = BUF_INIT;
    char oid[16];
    (void)snprintf(oid, sizeof(oid), "%u", table->oid);
    quote_qualified(&name, table->schema, table->name);
    const char *params[] = {oid, name.data};
    if (!conn_query_params(source,
                           "SELECT c.relfilenode = pg_catalog.pg_relation_filenode(c.oid)"
                           " AND pg_catalog.to_regclass($2) = c.oid"
                           " FROM pg_catalog.pg_class c WHERE c.oid = $1::oid",
                           2, params, &rows, err))
        return false;
    *ret_is_same = rows_count(rows) == 1 && rows_bool(rows, 0, 0);
    return true;
}

/* A result's description names the type below a domain. */
static bool is_same_column(const struct rows *rows, int index, const struct column *column)
{
    return strcmp(rows_name(rows, index), column->name) == 0 &&
           rows_type(rows, index) == column->shown_oid &&
           rows_typmod(rows, index) == column->shown_typmod;
}

/* An empty SELECT * is described by the columns of now. */
static bool has_same_columns(struct conn *source, const struct table *table, bool *ret_is_same,
                             struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT * FROM ONLY %I.%I LIMIT 0", table->schema, table->name);
    if (!conn_query(source, sql, &rows, err))
        return false;
    *ret_is_same = rows_columns(rows) == (int)table->column_count;
    for (int i = 0; *ret_is_same && i < rows_columns(rows); i++)
        *ret_is_same = is_same_column(rows, i, &table->columns[i]);
    return true;
}

void part_snapshot_release(struct part_snapshot *snapshot)
{
    free(snapshot->snapshot);
    *snapshot = (struct part_snapshot){0};
}

static bool import_snapshot(struct conn *source, const char *snapshot, struct err *err)
{
    if (conn_execf(source, err, "SET TRANSACTION SNAPSHOT %L", snapshot))
        return true;
    if (err->kind == ERR_FATAL || err->kind == ERR_DATA) /* 55000, 42704, or 22023 */
        err->kind = ERR_RETRY; /* the holder is gone: a new snapshot is needed */
    return err_wrap(err, "could not use the copy's snapshot");
}

/* The transaction's first query: its snapshot is taken here, behind the lock. */
static bool own_snapshot(struct conn *source, struct part_snapshot *ret_own, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *text = NULL;
    if (!conn_text(source, "SELECT pg_catalog.pg_current_snapshot()", &text, err) ||
        !conn_query(source, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return false;
    *ret_own = (struct part_snapshot){.snapshot = TAKE(text), .end_lsn = rows_lsn(rows, 0, 0)};
    return true;
}

bool part_open(struct conn *source, const struct part *part, const char *snapshot,
               enum part_state *ret_state, struct part_snapshot *ret_own, struct err *err)
{
    bool is_gone = false;
    bool is_same = false;
    if (!conn_exec(source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) ||
        (!part->is_restless && !import_snapshot(source, snapshot, err)) ||
        !lock_table(source, part->table, &is_gone, err))
        return false;
    if (!is_gone && part->is_restless && !own_snapshot(source, ret_own, err))
        return false;
    if (!is_gone && !is_same_file(source, part->table, &is_same, err))
        return false;
    if (is_same && !has_same_columns(source, part->table, &is_same, err))
        return false;
    *ret_state = is_same ? PART_READY : PART_CHANGED;
    return is_same || conn_exec(source, "ROLLBACK", err);
}

/* The key of the row at ctid, as " (id = 5)"; nothing when it has none, or one that cannot be sent.
 */
static void put_key(struct conn *source, const struct table *table, const char *ctid,
                    struct buf *label)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    struct err ignored = {0};
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].is_primary_key || table->columns[i].is_identity_key)
            quote_add(&sql, "%s pg_catalog.left(%I::text, %d) AS %I", sql.len ? "," : "SELECT",
                      table->columns[i].name, KEY_CHARS, table->columns[i].name);
    if (!sql.len)
        return;
    quote_add(&sql, " FROM ONLY %I.%I WHERE ctid = %L", table->schema, table->name, ctid);
    if (!conn_query(source, sql.data, &rows, &ignored) || rows_count(rows) != 1)
        return;
    for (int i = 0; i < rows_columns(rows); i++)
        buf_fmt(label, "%s%s = %s", i ? ", " : " (", rows_name(rows, i), rows_text(rows, 0, i));
    buf_putc(label, ')');
}

char *part_row_label(struct conn *source, const struct part *part, const char *snapshot,
                     int64_t nth)
{
    AUTO(str_free) char *ctid = NULL;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    struct buf label = BUF_INIT;
    struct err ignored = {0};
    if (part->is_restless) /* its snapshot is not to be had a second time */
        return NULL;
    buf_puts(&sql, "SELECT ctid");
    put_from(&sql, part);
    buf_fmt(&sql, " OFFSET %" PRId64 " LIMIT 1", nth - 1);
    if (!conn_exec(source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &ignored) ||
        !import_snapshot(source, snapshot, &ignored) ||
        !conn_text(source, sql.data, &ctid, &ignored) || !ctid)
        return NULL;
    buf_fmt(&label, "ctid %s", ctid);
    put_key(source, part->table, ctid, &label);
    return buf_take(&label);
}
