/* Snapshots for the copy. See hold.h; the two waits are explained in DESIGN 2 and 4.
 *
 * Invariant: S shows every transaction that the stream will not deliver whole. */
#include "pipeline/hold.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/snapshot.h"

enum { WAIT_MS = 10, REPORT_MS = 5000 };

static const char writers_sql[] =
    "SELECT DISTINCT l.virtualtransaction, l.pid"
    " FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted"
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
    "                   WHERE datname = pg_catalog.current_database())"
    " AND l.relation = ANY ($1::oid[])"
    " AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
    "                'AccessExclusiveLock')"
    " AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()";

void hold_release(struct hold *hold)
{
    conn_free(&hold->conn);
    free(hold->exported);
    free(hold->snapshot);
    *hold = (struct hold){0};
}

static bool pause_or_stop(struct engine *engine, struct err *err)
{
    return !stop_wait(engine->soft, WAIT_MS) || err_set(err, ERR_STOP, "interrupted");
}

/* Reads S, exports, reads L: in this order, in the holding transaction. */
static bool describe(struct hold *hold, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_text(hold->conn, "SELECT pg_catalog.pg_current_snapshot()", &hold->snapshot, err) ||
        !conn_text(hold->conn, "SELECT pg_catalog.pg_export_snapshot()", &hold->exported, err) ||
        !conn_query(hold->conn, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return err_wrap(err, "could not hold a snapshot");
    hold->end_lsn = rows_lsn(rows, 0, 0);
    return true;
}

static bool wait_until_visible(struct engine *engine, const char *text, struct err *err)
{
    AUTO(conn_free) struct conn *fresh = NULL;
    AUTO(snapshot_release) struct snapshot wanted = SNAPSHOT_INIT;
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
            return true;
        if (!pause_or_stop(engine, err))
            return false;
    }
}

bool hold_created(struct engine *engine, struct hold *ret_hold, struct err *err)
{
    AUTO(hold_release) struct hold hold = {0};
    if (!engine_connect(engine, true, "snapshot", &hold.conn, err) ||
        !conn_execf(hold.conn, err,
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                    " SET TRANSACTION SNAPSHOT %L",
                    engine->created_snapshot) ||
        !describe(&hold, err) || !wait_until_visible(engine, hold.snapshot, err))
        return false;
    conn_free(&engine->creator);
    str_free(&engine->created_snapshot);
    *ret_hold = hold;
    hold = (struct hold){0};
    return fault_point("snapshot.held", err);
}

/* Prepared transactions hold their locks under a virtual transaction of their own ("-1/xid"). */
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

static bool wait_for_writer(struct engine *engine, struct conn *conn, const struct rows *writers,
                            int row, const char *oids, struct err *err)
{
    int64_t report_at = clock_ms() + REPORT_MS;
    for (bool over = false;;) {
        if (!is_over(conn, rows_text(writers, row, 0), oids, &over, err))
            return false;
        if (over)
            return true;
        if (clock_ms() >= report_at) {
            const char *pid = rows_text(writers, row, 1);
            log_warn("waiting for a transaction that writes to the tables to end (%s %s)",
                     pid ? "pid" : "prepared transaction", pid ? pid : rows_text(writers, row, 0));
            report_at = clock_ms() + REPORT_MS;
        }
        if (!pause_or_stop(engine, err))
            return false;
    }
}

static bool wait_for_writers(struct engine *engine, struct conn *conn, const char *oids,
                             struct err *err)
{
    AUTO(rows_free) struct rows *writers = NULL;
    const char *params[] = {oids};
    if (!conn_query_params(conn, writers_sql, 1, params, &writers, err))
        return false;
    for (int row = 0; row < rows_count(writers); row++)
        if (!wait_for_writer(engine, conn, writers, row, oids, err))
            return false;
    return true;
}

bool hold_new(struct engine *engine, const char *oids, struct hold *ret_hold, struct err *err)
{
    AUTO(hold_release) struct hold hold = {0};
    if (!engine_connect(engine, true, "snapshot", &hold.conn, err) ||
        !wait_for_writers(engine, hold.conn, oids, err) ||
        !conn_exec(hold.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) ||
        !describe(&hold, err))
        return false;
    *ret_hold = hold;
    hold = (struct hold){0};
    return fault_point("snapshot.held", err);
}
