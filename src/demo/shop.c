/* The shop database: loading, measuring, checking. */
#include "demo/shop.h"

#include "base/mem.h"
#include "pg/quote.h"

/* Made from demo/shop.sql by the build. */
extern const char demo_shop_sql[];

bool shop_load(struct conn *conn, int scale, struct err *err)
{
    return (conn_execf(conn, err, "SET shop.scale = %d", scale) && conn_exec(conn, "BEGIN", err) &&
            conn_exec(conn, demo_shop_sql, err) && conn_exec(conn, "COMMIT; ANALYZE", err)) ||
           err_wrap(err, "making the shop database");
}

/* Counts are exact: the planner's estimates would not do for a proof. */
bool shop_measure(struct conn *conn, struct shop_size *ret_size, struct err *err)
{
    static const char sql[] =
        "SELECT count(*), sum(rows), sum(bytes) FROM (SELECT pg_total_relation_size(oid) AS bytes,"
        " (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s',"
        "  oid::regclass), true, true, '')))[1]::text::bigint AS rows"
        " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'shop'::regnamespace) t";
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, sql, &rows, err))
        return false;
    *ret_size = (struct shop_size){.tables = rows_int(rows, 0, 0),
                                   .rows = rows_int(rows, 0, 1),
                                   .bytes = rows_int(rows, 0, 2)};
    return true;
}

bool shop_check(struct conn *conn, struct err *err)
{
    static const char sql[] =
        "WITH moved AS (SELECT account, sum(change) AS change FROM shop.transfers,"
        "  LATERAL (VALUES (from_account, -amount), (to_account, amount)) v (account, change)"
        "  GROUP BY 1)"
        " SELECT sum(balance), sum(opened_with), sum(turnover),"
        "  (SELECT 2 * sum(amount) FROM shop.transfers),"
        "  count(*) FILTER (WHERE balance <> opened_with + coalesce(change, 0)),"
        "  sum(balance) = sum(opened_with)"
        "   AND sum(turnover) = (SELECT 2 * sum(amount) FROM shop.transfers)"
        " FROM shop.accounts LEFT JOIN moved ON account = id";
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) ||
        !conn_query(conn, sql, &rows, err) || !conn_exec(conn, "COMMIT", err))
        return false;
    if (rows_bool(rows, 0, 5) && rows_int(rows, 0, 4) == 0)
        return true;
    return err_set(err, ERR_DATA,
                   "a reader saw wrong sums: balances %s of %s, turnover %s where transfers make "
                   "%s, %s accounts that do not follow from their transfers",
                   rows_text(rows, 0, 0), rows_text(rows, 0, 1), rows_text(rows, 0, 2),
                   rows_text(rows, 0, 3), rows_text(rows, 0, 4));
}

bool shop_break(struct conn *conn, const char **ret_where, struct err *err)
{
    *ret_where = "shop.accounts, id 4711, balance";
    return conn_exec(conn, "UPDATE shop.accounts SET balance = balance + 0.01 WHERE id = 4711",
                     err);
}
