/* A connection pooler in between (pgbouncer and its like) ends what the engine builds on: sessions
 * with settings, locks and snapshots of their own, and replication connections. That holds for its
 * session mode as well: it refuses the startup options that keep a role's own settings out of our
 * sessions, or drops them unsaid; sessions that a killed engine left could not be found and ended
 * by their pid; and a lost client is noticed by the pooler's rules, not by ours.
 *
 * A pooler makes the pid of a session up, since the client may be given another server session any
 * time: what the connection was told is not what the server says. One that refuses startup options
 * is told apart when the connection is opened, see pooler_refused(). */
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"

static void refuse(struct check *check, const char *what)
{
    check_error(
        check, "connection_pooler",
        str_fmt("a connection pooler (pgbouncer or the like) stands before the %s; sessions "
                "behind it lose their settings, locks and snapshots",
                what),
        str_fmt("give the host and port of the server itself in the %s URL", what));
}

static bool check_pooler(struct check *check, struct conn *conn, const char *what, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, "SELECT pg_catalog.pg_backend_pid()", &rows, err))
        return false;
    if (rows_int(rows, 0, 0) != conn_backend_pid(conn))
        refuse(check, what);
    return true;
}

bool check_source_pooler(struct check *check, struct err *err)
{
    return check_pooler(check, check->source, "source", err);
}

bool check_target_pooler(struct check *check, struct err *err)
{
    return check_pooler(check, check->target, "target", err);
}

bool pooler_refused(struct check *check, const char *what, const struct err *err)
{
    if (!strstr(err->text, "unsupported startup parameter"))
        return false;
    refuse(check, what);
    return true;
}
