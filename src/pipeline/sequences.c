/* Sequences stand outside every snapshot: their values are read last and set on the target. */
#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pipeline/engine.h"

enum { AT_ONCE = 200 };

/* The source's values of sequences first … first + count of names, as one query. */
static bool read_values(struct conn *source, const struct rows *names, int first, int count,
                        struct rows **ret_values, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    for (int i = first; i < first + count; i++)
        quote_add(&sql, "%sSELECT %d, last_value, is_called FROM %I.%I",
                  i > first ? " UNION ALL " : "", i, rows_text(names, i, 0),
                  rows_text(names, i, 1));
    buf_puts(&sql, " ORDER BY 1");
    return conn_query(source, sql.data, ret_values, err);
}

/* Forwards only (backwards for descending ones): the target may be in use already. */
static bool set_values(struct conn *target, const struct rows *names, const struct rows *values,
                       struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    for (int i = 0; i < rows_count(values); i++) {
        int name = (int)rows_int(values, i, 0);
        const char *last = rows_text(values, i, 1);
        const char *called = rows_bool(values, i, 2) ? "true" : "false";
        quote_add(&sql,
                  "SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s, %s) FROM %I.%I s"
                  " WHERE (s.last_value, s.is_called) <> (%s, %s)"
                  " AND (NOT s.is_called OR %s * (%s - s.last_value) > 0);",
                  rows_text(names, name, 2), last, called, rows_text(names, name, 0),
                  rows_text(names, name, 1), last, called, rows_text(names, name, 3), last);
    }
    return conn_exec(target, sql.data, err);
}

/* The sequences of the source that the target has as well. */
static bool read_names(struct conn *source, struct conn *target, struct rows **ret_names,
                       struct err *err)
{
    AUTO(str_free) char *there = NULL;
    if (!conn_text(target,
                   "SELECT coalesce(pg_catalog.array_agg(pg_catalog.format('%I.%I', n.nspname,"
                   " c.relname)), '{}') FROM pg_catalog.pg_class c"
                   " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                   " WHERE c.relkind = 'S' AND c.relpersistence <> 't'"
                   " AND NOT " CATALOG_IS_KEEPER("n.oid"),
                   &there, err))
        return false;
    const char *params[] = {there};
    return conn_query_params(
        source,
        "SELECT n.nspname, c.relname, pg_catalog.quote_literal(pg_catalog.format('%I.%I',"
        " n.nspname, c.relname)), pg_catalog.sign(s.seqincrement)::int"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid"
        " WHERE c.relpersistence <> 't'"
        " AND pg_catalog.format('%I.%I', n.nspname, c.relname) = ANY ($1::text[]) ORDER BY 1, 2",
        1, params, ret_names, err);
}

bool engine_sequences(struct engine *engine, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(rows_free) struct rows *names = NULL;
    if (!engine_connect(engine, true, "sequences", &source, err) ||
        !read_names(source, engine->keeper, &names, err))
        return err_wrap(err, "could not read the sequences");
    for (int first = 0; first < rows_count(names); first += AT_ONCE) {
        AUTO(rows_free) struct rows *values = NULL;
        int count = MIN_OF(rows_count(names) - first, (int)AT_ONCE);
        if (!read_values(source, names, first, count, &values, err) ||
            !set_values(engine->keeper, names, values, err))
            return err_wrap(err, "could not bring the sequences to the source's values");
    }
    return true;
}
