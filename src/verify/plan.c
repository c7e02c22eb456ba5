/* The SQL of a comparison: see plan.h.
 *
 * A row's hash is that of its text form as record_out writes it: each column by its type's output
 * function under our session settings, NULL and '' told apart. (A cast to text would keep the
 * encoding declaration of an xml value, which its output drops.)
 * Ranges: the first key column is compared by its own order where the type's order is the same on
 * every server, else by the bytes of its text form (COLLATE "C").
 * Lots: a table without a key is divided by a hash of columns whose hash is cheap, so that looking
 * for the rows of a few lots is, too. What is the same has the same lot: rows are told apart by
 * their text form alone, and a value of another text may well have the same hash (1.0 and 1.00).
 *
 * Sums of parts are made from a subquery that has a volatile column nobody computes. Such a one is
 * planned by itself: the planner expects 200 groups (not one for every row, which it would sort on
 * disk), a hash is computed once a row, and the servers still work in parallel, which they would
 * not with OFFSET 0. */
#include "verify/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/quote.h"

enum {
    PAGE_BYTES = 8192,
    SAMPLE_PAGES = 512,
    RANGE_PAGES = 16,
    MAX_RANGES = 256,
    LOT_COLUMNS = 8,
    LOT_BYTES = 200, /* of a text that is hashed; of a longer one its length tells enough */
};

#define FENCE ", CASE WHEN false THEN pg_catalog.clock_timestamp() END AS fence"

struct native_order {
    const char *type_name;
    bool is_fixed_length;
};

static const struct native_order native_orders[] = {
    {"smallint", true},
    {"integer", true},
    {"bigint", true},
    {"oid", true},
    {"uuid", true},
    {"date", true},
    {"timestamp without time zone", true},
    {"timestamp with time zone", true},
    {"numeric", false},
    {"bytea", false},
};

/* Hashes that take a seed: the same from 14 on and on every server, as rows in hash partitions need
 * it. */
struct cheap_hash {
    const char *type_name;
    const char *function;
    const char *cast; /* "timezone": to UTC, which makes its argument; or "" */
};

static const struct cheap_hash cheap_hashes[] = {
    {"smallint", "hashint2extended", ""},
    {"integer", "hashint4extended", ""},
    {"bigint", "hashint8extended", ""},
    {"oid", "hashoidextended", ""},
    {"uuid", "uuid_hash_extended", ""},
    {"numeric", "hash_numeric_extended", ""},
    {"double precision", "hashfloat8extended", ""},
    {"timestamp without time zone", "timestamp_hash_extended", ""},
    {"timestamp with time zone", "timestamp_hash_extended", "timezone"},
};

/* NULL: ordered by text form. A type that differs between the sides is. */
static const struct native_order *native_order(const struct plan *plan, const struct column *column)
{
    const struct column *other = table_column(plan->tables[SIDE_TARGET], column->name);
    if (!other || strcmp(other->type_name, column->type_name) != 0)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(native_orders); i++)
        if (strcmp(column->type_name, native_orders[i].type_name) == 0)
            return &native_orders[i];
    return NULL;
}

static bool is_text(const struct table *table, const char *name)
{
    const struct column *column = table_column(table, name);
    return column && (strcmp(column->type_name, "text") == 0 ||
                      strcmp(column->type_name, "character varying") == 0);
}

/* The hash of a column, or NULL: not a cheap one. Owned. */
static char *cheap_hash(const struct plan *plan, const struct column *column, const char *seed)
{
    const struct table *target = plan->tables[SIDE_TARGET];
    const struct column *other = table_column(target, column->name);
    AUTO(str_free) char *name = quote_sql("t.%I", column->name);
    if (!plan->recodes && is_text(plan->tables[SIDE_SOURCE], column->name) &&
        is_text(target, column->name))
        return str_fmt("CASE WHEN octet_length(%s) > %d THEN octet_length(%s) ELSE"
                       " hashtextextended(%s::text COLLATE \"C\", %s) END",
                       name, LOT_BYTES, name, name, seed);
    if (!other || strcmp(other->type_name, column->type_name) != 0)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(cheap_hashes); i++)
        if (strcmp(column->type_name, cheap_hashes[i].type_name) == 0)
            return str_fmt("%s(%s(%s%s), %s)", cheap_hashes[i].function, cheap_hashes[i].cast,
                           cheap_hashes[i].cast[0] ? "'UTC', " : "", name, seed);
    return NULL;
}

static char *lot_of(const struct plan *plan)
{
    const struct table *source = plan->tables[SIDE_SOURCE];
    char *lot = NULL;
    int count = 0;
    for (size_t i = 0; i < source->column_count && count < LOT_COLUMNS; i++) {
        AUTO(str_free) char *hash = cheap_hash(plan, &source->columns[i], lot ? lot : "0");
        if (!hash)
            continue;
        str_set(&lot, str_fmt("coalesce(%s, 0)", hash));
        count++;
    }
    return lot;
}

void plan_init(struct plan *plan, const struct table *source, const struct table *target,
               const char *recodes)
{
    *plan = (struct plan){.tables = {source, target}, .recodes = recodes};
    bool has_primary = false;
    for (size_t i = 0; i < source->column_count; i++)
        has_primary |= source->columns[i].is_primary_key;
    plan->key = mem_alloc((source->column_count + 1) * sizeof(struct column *));
    for (size_t i = 0; i < source->column_count; i++) {
        const struct column *column = &source->columns[i];
        if (has_primary ? column->is_primary_key : column->is_identity_key)
            plan->key[plan->key_count++] = column;
    }
    if (!plan->key_count)
        plan->lot = lot_of(plan);
}

void plan_release(struct plan *plan)
{
    free(plan->key);
    free(plan->lot);
    strv_release(&plan->bounds);
    *plan = PLAN_INIT;
}

/* What a key column is ordered by. */
static void add_order(struct buf *sql, const struct plan *plan, const struct column *column)
{
    quote_add(sql, native_order(plan, column) ? "t.%I" : "(t.%I)::text COLLATE \"C\"",
              column->name);
}

static const char *order_type(const struct plan *plan, const struct column *column)
{
    return native_order(plan, column) ? column->type_name : "text";
}

/* The hash of "t.a, t.b"; with different encodings, of its bytes in one of them. */
static void add_hash(struct buf *sql, const struct plan *plan, const char *columns)
{
    if (plan->recodes)
        quote_add(sql,
                  "hashtextextended(encode(convert_to(ROW(%s)::text, %L), 'hex') COLLATE \"C\", 0)",
                  columns, plan->recodes);
    else
        quote_add(sql, "hashtextextended((ROW(%s)::text) COLLATE \"C\", 0)", columns);
}

static void add_row_hash(struct buf *sql, const struct plan *plan)
{
    AUTO(buf_release) struct buf columns = BUF_INIT;
    const struct table *source = plan->tables[SIDE_SOURCE];
    for (size_t i = 0; i < source->column_count; i++)
        quote_add(&columns, i ? ", t.%I" : "t.%I", source->columns[i].name);
    add_hash(sql, plan, buf_text(&columns));
}

/* Such a table is not divided by ranges: an index of the database's collation is of no use for
 * them, and a hash tells where a row belongs in an eighth of the time. */
static bool has_text_key(const struct plan *plan)
{
    return plan->key_count == 1 && !plan->recodes &&
           is_text(plan->tables[SIDE_SOURCE], plan->key[0]->name) &&
           is_text(plan->tables[SIDE_TARGET], plan->key[0]->name);
}

/* What tells rows apart: the hash of the key, or of the whole row. */
static void add_key_hash(struct buf *sql, const struct plan *plan)
{
    AUTO(buf_release) struct buf columns = BUF_INIT;
    if (!plan->key_count) {
        add_row_hash(sql, plan);
        return;
    }
    if (has_text_key(plan)) {
        quote_add(sql, "hashtextextended(t.%I::text COLLATE \"C\", 0)", plan->key[0]->name);
        return;
    }
    for (size_t i = 0; i < plan->key_count; i++)
        quote_add(&columns, i ? ", t.%I" : "t.%I", plan->key[i]->name);
    add_hash(sql, plan, buf_text(&columns));
}

/* A partition or a parent is read by itself. */
static void add_from(struct buf *sql, const struct plan *plan, enum side side)
{
    const struct table *table = plan->tables[side];
    quote_add(sql, table->kind != 'r' ? " FROM %I.%I AS t" : " FROM ONLY %I.%I AS t", table->schema,
              table->name);
}

static void add_part(struct buf *sql, const char *hash, uint32_t parts)
{
    quote_add(sql, "(%s & 9223372036854775807) %% %u", hash, parts);
}

static void add_where(struct buf *sql, const struct plan *plan, const struct scope *scope)
{
    buf_puts(sql, " WHERE true");
    if (plan->bounds.count && scope->first > 0) {
        buf_puts(sql, " AND ");
        add_order(sql, plan, plan->key[0]);
        quote_add(sql, " >= %L::%s", plan->bounds.items[scope->first - 1],
                  order_type(plan, plan->key[0]));
    }
    if (scope->last < plan->bounds.count) {
        buf_puts(sql, " AND ");
        add_order(sql, plan, plan->key[0]);
        quote_add(sql, " < %L::%s", plan->bounds.items[scope->last],
                  order_type(plan, plan->key[0]));
    }
    if (scope->lots && scope->chosen_lots) {
        buf_puts(sql, " AND ");
        add_part(sql, plan->lot, scope->lots);
        quote_add(sql, " IN (%s)", scope->chosen_lots);
    }
    if (scope->parts && scope->chosen) {
        AUTO(buf_release) struct buf hash = BUF_INIT;
        add_key_hash(&hash, plan);
        buf_puts(sql, " AND ");
        add_part(sql, buf_text(&hash), scope->parts);
        quote_add(sql, " IN (%s)", scope->chosen);
    }
}

static struct scope all_parts(const struct scope *scope)
{
    struct scope all = *scope;
    all.parts = 0;
    all.chosen = NULL;
    return all;
}

char *plan_bounds_sql(const struct plan *plan)
{
    const struct table *source = plan->tables[SIDE_SOURCE];
    int64_t pages = source->bytes / PAGE_BYTES;
    if (!plan->key_count || has_text_key(plan))
        return NULL;
    const struct column *first = plan->key[0];
    const struct native_order *native = native_order(plan, first);
    if (plan->recodes && !native)
        return NULL; /* the bytes of a text differ, and so may their order */
    int ranges = (int)MIN_OF(pages / RANGE_PAGES + 2, (int64_t)MAX_RANGES);
    struct buf sql = BUF_INIT;
    quote_add(&sql,
              "SELECT DISTINCT unnest(percentile_disc((SELECT array_agg(i / %d.0::float8)"
              " FROM generate_series(1, %d) AS i)) WITHIN GROUP (ORDER BY e)) AS b FROM (SELECT ",
              ranges, ranges - 1);
    add_order(&sql, plan, first);
    buf_puts(&sql, " AS e");
    add_from(&sql, plan, SIDE_SOURCE);
    if (pages > 2 * SAMPLE_PAGES)
        buf_fmt(&sql, " TABLESAMPLE SYSTEM (%.6f) REPEATABLE (0)",
                100.0 * SAMPLE_PAGES / (double)pages);
    buf_puts(&sql, ") AS x ORDER BY b");
    return buf_take(&sql);
}

char *plan_total_sql(const struct plan *plan, enum side side)
{
    struct buf sql = BUF_INIT;
    buf_puts(&sql, "SELECT 0, count(*), sum(");
    add_row_hash(&sql, plan);
    buf_puts(&sql, ")");
    add_from(&sql, plan, side);
    return buf_take(&sql);
}

/* width_bucket() walks along an array of variable-length values: for these a tree of comparisons
 * with the bounds from first to last, whose leaves are the ranges first … last + 1. */
static void add_tree(struct buf *sql, const struct plan *plan, size_t first, size_t last)
{
    if (first > last) {
        buf_fmt(sql, "%zu", first);
        return;
    }
    size_t middle = first + (last - first) / 2;
    buf_puts(sql, "CASE WHEN ");
    add_order(sql, plan, plan->key[0]);
    quote_add(sql, " < %L::%s THEN ", plan->bounds.items[middle], order_type(plan, plan->key[0]));
    if (middle == first)
        buf_fmt(sql, "%zu", first);
    else
        add_tree(sql, plan, first, middle - 1);
    buf_puts(sql, " ELSE ");
    add_tree(sql, plan, middle + 1, last);
    buf_puts(sql, " END");
}

static void add_range(struct buf *sql, const struct plan *plan)
{
    const struct native_order *native = native_order(plan, plan->key[0]);
    if (!native || !native->is_fixed_length) {
        add_tree(sql, plan, 0, plan->bounds.count - 1);
        return;
    }
    buf_puts(sql, "pg_catalog.width_bucket(");
    add_order(sql, plan, plan->key[0]);
    for (size_t i = 0; i < plan->bounds.count; i++)
        quote_add(sql, i ? ", %L" : ", ARRAY[%L", plan->bounds.items[i]);
    quote_add(sql, "]::%s[])", order_type(plan, plan->key[0]));
}

char *plan_ranges_sql(const struct plan *plan, enum side side)
{
    struct buf sql = BUF_INIT;
    buf_puts(&sql, "SELECT r, count(*), sum(h) FROM (SELECT ");
    add_range(&sql, plan);
    buf_puts(&sql, " AS r, ");
    add_row_hash(&sql, plan);
    buf_puts(&sql, " AS h" FENCE);
    add_from(&sql, plan, side);
    buf_puts(&sql, ") AS x GROUP BY 1");
    return buf_take(&sql);
}

char *plan_lots_sql(const struct plan *plan, enum side side, uint32_t lots)
{
    struct buf sql = BUF_INIT;
    buf_puts(&sql, "SELECT p, count(*), sum(h) FROM (SELECT ");
    add_part(&sql, plan->lot, lots);
    buf_puts(&sql, " AS p, ");
    add_row_hash(&sql, plan);
    buf_puts(&sql, " AS h" FENCE);
    add_from(&sql, plan, side);
    buf_puts(&sql, ") AS x GROUP BY 1");
    return buf_take(&sql);
}

char *plan_parts_sql(const struct plan *plan, enum side side, const struct scope *scope)
{
    struct buf sql = BUF_INIT;
    struct scope all = all_parts(scope);
    buf_puts(&sql, "SELECT p, count(*), sum(h) FROM (SELECT ");
    add_part(&sql, "k", scope->parts);
    quote_add(&sql, " AS p, %s AS h" FENCE " FROM (SELECT ", plan->key_count ? "h" : "k");
    add_key_hash(&sql, plan);
    buf_puts(&sql, " AS k" FENCE);
    if (plan->key_count) {
        buf_puts(&sql, ", ");
        add_row_hash(&sql, plan);
        buf_puts(&sql, " AS h");
    }
    add_from(&sql, plan, side);
    add_where(&sql, plan, &all);
    buf_puts(&sql, ") AS y) AS x GROUP BY 1");
    return buf_take(&sql);
}

char *plan_rows_sql(const struct plan *plan, enum side side, const struct scope *scope)
{
    struct buf sql = BUF_INIT;
    buf_puts(&sql, "SELECT ");
    add_key_hash(&sql, plan);
    buf_puts(&sql, ", ");
    if (plan->key_count)
        add_row_hash(&sql, plan);
    else
        buf_puts(&sql, "count(*), min(t.ctid)");
    add_from(&sql, plan, side);
    add_where(&sql, plan, scope);
    if (!plan->key_count)
        buf_puts(&sql, " GROUP BY 1 ORDER BY 1");
    for (size_t i = 0; i < plan->key_count; i++) {
        buf_puts(&sql, i ? ", " : " ORDER BY ");
        add_order(&sql, plan, plan->key[i]);
    }
    return buf_take(&sql);
}

static void add_column_hashes(struct buf *sql, const struct plan *plan)
{
    const struct table *source = plan->tables[SIDE_SOURCE];
    buf_puts(sql, ", ARRAY[");
    for (size_t i = 0; i < source->column_count; i++) {
        AUTO(buf_release) struct buf column = BUF_INIT;
        quote_add(&column, "t.%I", source->columns[i].name);
        buf_puts(sql, i ? ", " : "");
        add_hash(sql, plan, buf_text(&column));
    }
    buf_puts(sql, "]");
}

char *plan_describe_sql(const struct plan *plan, enum side side, const struct scope *scope,
                        const char *hashes)
{
    struct buf sql = BUF_INIT;
    AUTO(buf_release) struct buf hash = BUF_INIT;
    add_key_hash(&hash, plan);
    quote_add(&sql, "SELECT %s", buf_text(&hash));
    if (plan->key_count)
        add_column_hashes(&sql, plan);
    else
        buf_puts(&sql, ", min(t.ctid)");
    for (size_t i = 0; i < plan->key_count; i++)
        quote_add(&sql, ", left((t.%I)::text, %d)", plan->key[i]->name, PLAN_SHOWN_CHARS);
    add_from(&sql, plan, side);
    add_where(&sql, plan, scope);
    quote_add(&sql, " AND %s IN (%s)", buf_text(&hash), hashes);
    if (!plan->key_count)
        buf_puts(&sql, " GROUP BY 1");
    return buf_take(&sql);
}

/* Text that is the same is equal by "=" of any collation: the hash tells the rest apart. */
bool plan_can_seek(const struct plan *plan)
{
    for (size_t i = 0; i < plan->key_count; i++) {
        const struct column *column = plan->key[i];
        bool is_text_of_one_encoding = !plan->recodes &&
                                       is_text(plan->tables[SIDE_SOURCE], column->name) &&
                                       is_text(plan->tables[SIDE_TARGET], column->name);
        if (!native_order(plan, column) && !is_text_of_one_encoding)
            return false;
    }
    return plan->key_count > 0;
}

static void add_keys(struct buf *sql, const struct plan *plan, const struct strv *keys)
{
    for (size_t i = 0; i < plan->key_count; i++) {
        quote_add(sql, " AND t.%I = ANY (", plan->key[i]->name);
        for (size_t row = 0; row < keys[i].count; row++)
            quote_add(sql, row ? ", %L" : "ARRAY[%L", keys[i].items[row]);
        quote_add(sql, "]::%s[])", plan->key[i]->type_name);
    }
}

/* The place of a row version and who wrote it name it for good; a version that no transaction has
 * updated, deleted or locked has no xmax. Other kinds of tables have no such columns: there nothing
 * counts as the same as long as the server's WAL grows. */
static void add_version(struct buf *sql, const struct table *table)
{
    bool has_versions = table->is_heap || table->kind != 'r';
    quote_add(sql, ", hashtextextended((%s) COLLATE \"C\", 0) AS v, %s AS m",
              has_versions ? "t.tableoid::text || t.ctid::text || t.xmin::text"
                           : "pg_catalog.pg_current_wal_insert_lsn()::text",
              has_versions ? "t.xmax::text <> '0'" : "true");
}

char *plan_look_sql(const struct plan *plan, enum side side, const struct scope *scope,
                    const struct chosen *chosen)
{
    struct buf sql = BUF_INIT;
    AUTO(buf_release) struct buf hash = BUF_INIT;
    struct scope all = all_parts(scope);
    add_key_hash(&hash, plan);
    quote_add(&sql, "SELECT k, count(*), sum(h), sum(v), bool_or(m) FROM (SELECT %s AS k, ",
              buf_text(&hash));
    add_row_hash(&sql, plan);
    buf_puts(&sql, " AS h");
    add_version(&sql, plan->tables[side]);
    add_from(&sql, plan, side);
    add_where(&sql, plan, &all);
    if (chosen->keys)
        add_keys(&sql, plan, chosen->keys);
    quote_add(&sql, " AND %s IN (%s)) AS x GROUP BY 1", buf_text(&hash), chosen->hashes);
    return buf_take(&sql);
}
