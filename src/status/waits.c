/* Waiting sessions and their blockers. See waits.h. */
#include "status/waits.h"

#include <stdlib.h>

#include "base/mem.h"

/* pg_blocking_pids() gives 0 for a prepared transaction; which one it is, its locks tell: they have
 * no pid, but one of them is that of its transaction id. Sessions that an engine opens before it
 * knows its pipeline's name, for its checks, are named "trunkline::check". */
static const char waits_sql[] =
    "SELECT w.pid, pg_catalog.substring(w.application_name, '[^:]*$'),"
    " CASE WHEN c.oid IS NOT NULL THEN n.nspname || '.' || c.relname"
    "   WHEN l.locktype = 'transactionid' THEN 'transaction ' || l.transactionid"
    "   ELSE l.locktype END, l.mode,"
    " pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - l.waitstart)::int8,"
    " blocker.pid, x.gid, coalesce(b.usename, x.owner), nullif(b.application_name, ''), b.state,"
    " pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()"
    "   - coalesce(b.xact_start, x.prepared))::int8"
    " FROM pg_catalog.pg_stat_activity w"
    " JOIN pg_catalog.pg_locks l ON l.pid = w.pid AND NOT l.granted"
    " CROSS JOIN LATERAL (SELECT DISTINCT pid FROM pg_catalog.unnest("
    "   pg_catalog.pg_blocking_pids(w.pid)) pid) blocker"
    " LEFT JOIN pg_catalog.pg_class c ON l.locktype IN ('relation', 'tuple', 'extend', 'page')"
    "   AND c.oid = l.relation"
    " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_stat_activity b ON b.pid = blocker.pid"
    " LEFT JOIN LATERAL (SELECT p.gid, p.owner, p.prepared FROM pg_catalog.pg_locks h"
    "   JOIN pg_catalog.pg_locks own ON own.virtualtransaction = h.virtualtransaction"
    "     AND own.pid IS NULL AND own.locktype = 'transactionid'"
    "   JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid"
    "   WHERE blocker.pid = 0 AND h.pid IS NULL AND h.granted AND h.locktype = l.locktype"
    "   AND h.database IS NOT DISTINCT FROM l.database"
    "   AND h.relation IS NOT DISTINCT FROM l.relation"
    "   AND h.transactionid IS NOT DISTINCT FROM l.transactionid"
    "   ORDER BY p.prepared LIMIT 1) x ON true"
    " WHERE (pg_catalog.starts_with(w.application_name, $1)"
    "   OR pg_catalog.starts_with(w.application_name, 'trunkline::'))"
    " AND w.datname = pg_catalog.current_database()"
    " ORDER BY l.waitstart, w.pid, blocker.pid";

static int64_t seconds(const struct rows *rows, int row, int column)
{
    return rows_text(rows, row, column) ? rows_int(rows, row, column) : -1;
}

bool waits_read(struct conn *conn, const char *server, const char *prefix, struct wait_list *list,
                struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {prefix};
    if (!conn_query_params(conn, waits_sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the locks");
    size_t more = (size_t)rows_count(rows);
    list->items = mem_resize(list->items, list->count + more, sizeof(*list->items));
    for (int i = 0; i < rows_count(rows); i++)
        list->items[list->count++] = (struct wait){
            .server = server,
            .pid = (int)rows_int(rows, i, 0),
            .session = str_dup(rows_text(rows, i, 1)),
            .object = str_dup(rows_text(rows, i, 2)),
            .mode = str_dup(rows_text(rows, i, 3)),
            .waited_s = seconds(rows, i, 4),
            .blocker_pid = (int)rows_int(rows, i, 5),
            .gid = str_dup(rows_text(rows, i, 6)),
            .user = str_dup(rows_text(rows, i, 7)),
            .application = str_dup(rows_text(rows, i, 8)),
            .state = str_dup(rows_text(rows, i, 9)),
            .age_s = seconds(rows, i, 10),
        };
    return true;
}

void wait_list_release(struct wait_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct wait *wait = &list->items[i];
        free(wait->session);
        free(wait->object);
        free(wait->mode);
        free(wait->gid);
        free(wait->user);
        free(wait->application);
        free(wait->state);
    }
    free(list->items);
    *list = WAIT_LIST_INIT;
}
