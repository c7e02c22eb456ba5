/* The engine's lock: an advisory one, named after the slot. Held by a session, so that it goes with
 * a killed engine's connection; the position's guard in the applying transaction is what makes a
 * second engine harmless, the lock makes it rare. */
#include <stdlib.h>

#include "base/mem.h"
#include "keeper/keeper.h"

void keeper_holder_release(struct keeper_holder *holder)
{
    free(holder->client);
    free(holder->since);
    *holder = (struct keeper_holder){0};
}

static void take_holder(const struct rows *rows, struct keeper_holder *ret_holder)
{
    keeper_holder_release(ret_holder);
    if (rows_count(rows) == 0)
        return;
    *ret_holder = (struct keeper_holder){
        .pid = (int)rows_int(rows, 0, 0),
        .client = str_dup(rows_text(rows, 0, 1)),
        .since = str_dup(rows_text(rows, 0, 2)),
    };
}

bool keeper_try_lock(struct conn *conn, const struct keeper_ref *ref, struct keeper_holder *ret_own,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    if (!conn_query_params(conn,
                           "SELECT pid, client_addr, backend_start"
                           " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
                           " WHERE pg_catalog.pg_try_advisory_lock("
                           "pg_catalog.hashtext('trunkline'), pg_catalog.hashtext($1))",
                           1, params, &rows, err))
        return false;
    take_holder(rows, ret_own);
    return true;
}

bool keeper_lock_holder(struct conn *conn, const struct keeper_ref *ref,
                        struct keeper_holder *ret_holder, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    if (!conn_query_params(conn,
                           "SELECT l.pid, a.client_addr, a.backend_start"
                           " FROM pg_catalog.pg_locks l"
                           " LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)"
                           " WHERE l.locktype = 'advisory' AND l.granted"
                           " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
                           "                   WHERE datname = pg_catalog.current_database())"
                           " AND l.classid = pg_catalog.hashtext('trunkline')::int8::bit(32)::int8"
                           " AND l.objid = pg_catalog.hashtext($1)::int8::bit(32)::int8",
                           1, params, &rows, err))
        return false;
    take_holder(rows, ret_holder);
    return true;
}
