/* Who would hold a start up: making a slot, and taking the snapshot of a table that joins, wait for
 * the writing transactions of that moment. */
#include <stdlib.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"

/* Transactions this old (seconds) are worth telling. */
#define LONG_S "5"

/* Other people's sessions tell their age to members of pg_read_all_stats only. */
bool check_transactions(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!check_is_fresh(check))
        return true;
    if (!conn_query(check->source,
                    "SELECT a.pid, a.usename, a.datname, a.state,"
                    " extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint"
                    " FROM pg_catalog.pg_stat_activity a WHERE a.backend_xid IS NOT NULL"
                    " AND a.pid <> pg_catalog.pg_backend_pid()"
                    " AND a.xact_start < pg_catalog.clock_timestamp() - interval '" LONG_S " s'"
                    " ORDER BY a.xact_start",
                    &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_warning(
            check, "long_transaction",
            str_fmt("a transaction writes for %s s on the source (pid %s, role %s, "
                    "database %s, %s): the start waits for its end",
                    rows_text(rows, i, 4), rows_text(rows, i, 0), rows_text(rows, i, 1),
                    rows_text(rows, i, 2), rows_text(rows, i, 3)),
            str_fmt("SELECT pg_catalog.pg_terminate_backend(%s); -- or wait until it ends",
                    rows_text(rows, i, 0)));
    return true;
}

bool check_prepared(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!check_is_fresh(check))
        return true;
    if (!conn_query(check->source,
                    "SELECT gid, database, owner,"
                    " extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::bigint"
                    " FROM pg_catalog.pg_prepared_xacts"
                    " WHERE prepared < pg_catalog.clock_timestamp() - interval '" LONG_S " s'"
                    " ORDER BY prepared",
                    &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_warning(check, "prepared_transaction",
                      str_fmt("a transaction is prepared for %s s on the source (%s, role %s, "
                              "database %s): the start waits for its end",
                              rows_text(rows, i, 3), rows_text(rows, i, 0), rows_text(rows, i, 2),
                              rows_text(rows, i, 1)),
                      quote_sql("ROLLBACK PREPARED %L; -- or COMMIT PREPARED; in database %I",
                                rows_text(rows, i, 0), rows_text(rows, i, 1)));
    return true;
}
