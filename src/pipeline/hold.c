/* Snapshots for the copy. See hold.h; the two waits are explained in DESIGN 2 and 4.
 *
 * Invariant: S shows every transaction that the stream will not deliver whole. */
#include "pipeline/hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/quantity.h"
#include "pg/snapshot.h"
#include "pipeline/history.h"

enum { WAIT_MS = 10, REPORT_MS = 5000 };

/* Who writes to the tables now. Prepared transactions hold their locks without a pid; one of them
 * is that of their transaction id. What other people's sessions do since when is shown to those who
 * may read it. */
static const char writers_sql[] =
    "SELECT l.virtualtransaction,"
    " CASE WHEN l.pid IS NULL THEN 'the prepared transaction ' || coalesce(max(p.gid), '?')"
    "   || ' (' || coalesce(max(p.owner), '?')"
    "   || coalesce(', prepared at ' || max(p.prepared), '') || ') that has written to '"
    "   ELSE 'the transaction of pid ' || l.pid || ' (' || coalesce(max(a.usename), '?')"
    "   || coalesce(', running since ' || max(a.xact_start), '') || ') that writes to ' END"
    "   || pg_catalog.string_agg(DISTINCT n.nspname || '.' || c.relname, ', '),"
    " pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()"
    "   - coalesce(max(p.prepared), max(a.xact_start)))::int8"
    " FROM pg_catalog.pg_locks l"
    " JOIN pg_catalog.pg_class c ON c.oid = l.relation"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
    " LEFT JOIN pg_catalog.pg_locks own ON l.pid IS NULL AND own.pid IS NULL"
    "   AND own.virtualtransaction = l.virtualtransaction AND own.locktype = 'transactionid'"
    " LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid"
    " WHERE l.locktype = 'relation' AND l.granted"
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
    "                   WHERE datname = pg_catalog.current_database())"
    " AND l.relation = ANY ($1::oid[])"
    " AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
    "                'AccessExclusiveLock')"
    " AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"
    " GROUP BY l.virtualtransaction, l.pid";

void hold_release(struct hold *hold)
{
    conn_free(&hold->conn);
    free(hold->exported);
    free(hold->snapshot);
    *hold = (struct hold){0};
}

static bool pause_or_stop(const struct stop *stop, struct err *err)
{
    return !stop_wait(stop, WAIT_MS) || err_set(err, ERR_STOP, "interrupted");
}

/* Reads S, exports, reads L: in this order, in the holding transaction. Then up to L all is made
 * durable on the source. */
static bool describe(struct engine *engine, struct hold *hold, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(conn_free) struct conn *other = NULL;
    if (!conn_text(hold->conn, "SELECT pg_catalog.pg_current_snapshot()", &hold->snapshot, err) ||
        !conn_text(hold->conn, "SELECT pg_catalog.pg_export_snapshot()", &hold->exported, err) ||
        !fault_point("snapshot.taken", err) ||
        !conn_query(hold->conn, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return err_wrap(err, "could not hold a snapshot");
    hold->end_lsn = rows_lsn(rows, 0, 0);
    return history_is_same(engine, hold->conn, err) &&
           engine_connect(engine, true, "flush", &other, err) && history_flush(other, err);
}

/* For status. What a killed engine has left is overwritten as well. */
static bool tell(struct engine *engine, const char *what, struct err *err)
{
    return keeper_set_waits(engine->keeper, &engine->ref, what, err);
}

static bool wait_until_visible(struct engine *engine, const char *text, struct err *err)
{
    AUTO(conn_free) struct conn *fresh = NULL;
    AUTO(snapshot_release) struct snapshot wanted = SNAPSHOT_INIT;
    static const char invisible[] = "committed transactions that others cannot see yet: their "
                                    "commits wait for a synchronous standby";
    bool is_told = false;
    if (!snapshot_parse(text, &wanted, err) ||
        !engine_connect(engine, true, "snapshot", &fresh, err))
        return false;
    for (;;) {
        AUTO(snapshot_release) struct snapshot now = SNAPSHOT_INIT;
        AUTO(str_free) char *now_text = NULL;
        if (!conn_text(fresh, "SELECT pg_catalog.pg_current_snapshot()", &now_text, err) ||
            !snapshot_parse(now_text, &now, err))
            return false;
        if (snapshot_covers(&now, &wanted))
            return tell(engine, NULL, err);
        if (!is_told && !tell(engine, invisible, err))
            return false;
        is_told = true;
        if (!pause_or_stop(engine->soft, err))
            return false;
    }
}

/* The server may have restarted since: the slot's snapshot is gone then, a new one will do. */
static bool import_created(const struct engine *engine, struct conn *conn, struct err *err)
{
    if (conn_execf(conn, err,
                   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT %L",
                   engine->created_snapshot))
        return true;
    if (err->kind == ERR_FATAL || err->kind == ERR_DATA)
        err->kind = ERR_RETRY;
    return err_wrap(err, "could not use the slot's snapshot");
}

bool hold_created(struct engine *engine, struct hold *ret_hold, struct err *err)
{
    AUTO(hold_release) struct hold hold = {0};
    if (!engine_connect(engine, true, "snapshot", &hold.conn, err) ||
        !import_created(engine, hold.conn, err) || !describe(engine, &hold, err) ||
        !wait_until_visible(engine, hold.snapshot, err))
        return false;
    conn_free(&engine->creator);
    str_free(&engine->created_snapshot);
    *ret_hold = hold;
    hold = (struct hold){0};
    return fault_point("snapshot.held", err);
}

/* A transaction keeps its virtual transaction id when it is prepared. */
static bool is_over(struct conn *conn, const char *virtual_transaction, const char *oids,
                    bool *ret_is_over, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {virtual_transaction, oids};
    if (!conn_query_params(conn,
                           "SELECT FROM pg_catalog.pg_locks WHERE virtualtransaction = $1"
                           " AND locktype = 'relation' AND relation = ANY ($2::oid[])",
                           2, params, &rows, err))
        return false;
    *ret_is_over = rows_count(rows) == 0;
    return true;
}

static void report_wait(const struct rows *writers, int row, int64_t waited_ms)
{
    AUTO(str_free) char *age = NULL;
    if (rows_text(writers, row, 2))
        age = duration_text((rows_int(writers, row, 2) + waited_ms / 1000) * 1000);
    log_warn("waiting for %s to end%s%s%s", rows_text(writers, row, 1), age ? " (for " : "",
             age ? age : "", age ? " now)" : "");
}

static bool tell_waiter(const struct hold_waiter *waiter, const char *what, struct err *err)
{
    return keeper_set_waits(waiter->keeper, &waiter->engine->ref, what, err);
}

static bool wait_for_writer(const struct hold_waiter *waiter, struct conn *conn,
                            const struct rows *writers, int row, const char *oids, struct err *err)
{
    int64_t start = clock_ms();
    int64_t report_at = start + REPORT_MS;
    bool is_told = false;
    for (bool over = false;;) {
        if (!is_over(conn, rows_text(writers, row, 0), oids, &over, err))
            return false;
        if (over)
            return true;
        if (!is_told && !tell_waiter(waiter, rows_text(writers, row, 1), err))
            return false;
        is_told = true;
        if (clock_ms() >= report_at) {
            report_wait(writers, row, clock_ms() - start);
            report_at = clock_ms() + REPORT_MS;
        }
        if (!pause_or_stop(waiter->stop, err))
            return false;
    }
}

bool hold_wait_writers(const struct hold_waiter *waiter, struct conn *conn, const char *oids,
                       struct err *err)
{
    AUTO(rows_free) struct rows *writers = NULL;
    const char *params[] = {oids};
    if (!conn_query_params(conn, writers_sql, 1, params, &writers, err))
        return false;
    for (int row = 0; row < rows_count(writers); row++)
        if (!wait_for_writer(waiter, conn, writers, row, oids, err))
            return false;
    return tell_waiter(waiter, NULL, err);
}

/* The oldest of the transactions that are waited for, in words; NULL: all are over. The locks on
 * their ids tell everybody who they are; pg_stat_activity tells other people's ids to a few. */
static bool find_oldest(struct conn *conn, const char *xmax, char **ret_text, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {xmax};
    *ret_text = NULL;
    if (!conn_query_params(
            conn,
            "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= $1::xid8,"
            " coalesce((SELECT CASE WHEN l.pid IS NULL"
            "   THEN 'the prepared transaction ' || coalesce(p.gid, '?')"
            "   ELSE 'the transaction of pid ' || l.pid || ' (' || coalesce(a.usename, '?')"
            "     || coalesce(', running since ' || a.xact_start, '') || ')' END"
            "   FROM pg_catalog.pg_locks l"
            "   LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
            "   LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid"
            "   WHERE l.locktype = 'transactionid' AND l.granted"
            "   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"
            "   ORDER BY pg_catalog.age(l.transactionid) DESC LIMIT 1), 'a transaction')",
            1, params, &rows, err))
        return false;
    if (!rows_bool(rows, 0, 0))
        *ret_text = str_dup(rows_text(rows, 0, 1));
    return true;
}

bool hold_wait_running(struct engine *engine, struct conn *conn, struct err *err)
{
    AUTO(str_free) char *xmax = NULL;
    AUTO(str_free) char *told = NULL;
    int64_t report_at = clock_ms() + REPORT_MS;
    if (!conn_text(conn, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())",
                   &xmax, err))
        return false;
    for (;;) {
        AUTO(str_free) char *oldest = NULL;
        if (!find_oldest(conn, xmax, &oldest, err))
            return false;
        if (!oldest)
            return !told || tell(engine, NULL, err);
        if ((!told || strcmp(told, oldest) != 0) && !tell(engine, oldest, err))
            return false;
        str_set(&told, TAKE(oldest));
        if (clock_ms() >= report_at) {
            log_warn("waiting for %s, which began before the publication was made, to end", told);
            report_at = clock_ms() + REPORT_MS;
        }
        if (!pause_or_stop(engine->soft, err))
            return false;
    }
}

bool hold_new(struct engine *engine, const char *oids, struct hold *ret_hold, struct err *err)
{
    AUTO(hold_release) struct hold hold = {0};
    struct hold_waiter waiter = {engine, engine->keeper, engine->soft};
    if (!engine_connect(engine, true, "snapshot", &hold.conn, err) ||
        !hold_wait_writers(&waiter, hold.conn, oids, err) ||
        !conn_exec(hold.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) ||
        !describe(engine, &hold, err))
        return false;
    *ret_hold = hold;
    hold = (struct hold){0};
    return fault_point("snapshot.held", err);
}
