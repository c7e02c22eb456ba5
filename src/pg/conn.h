/* Connections to PostgreSQL. Owner: one thread for life.
 *
 * Every wait on the server is a poll() that a struct stop can end: the running command is then
 * cancelled and the call fails with ERR_STOP. Our sessions override role and database defaults
 * that would hurt (timeouts, DateStyle, search_path, …), on replication connections too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "pg/rows.h"

struct conn;

struct conn_options {
    const char *url;
    const char *what;             /* "source" or "target", for error texts */
    const char *application_name; /* "trunkline:<pipeline>:<role>" */
    const char *extra_options;    /* more startup options ("-c name=value …"), or NULL */
    bool is_replication;          /* a logical replication connection */
    bool is_raw;                  /* texts in the server's own encoding, not in UTF8 */
    int connect_timeout_ms;       /* 0: 10 s */
    int tcp_user_timeout_ms;      /* 0: 30 s */
    const struct stop *stop;      /* borrowed, outlives the connection; or NULL */
};

/* When a connection whose peer is gone counts as lost: what we have sent was not received for so
 * long, or, where we only read, that many keepalives stay without an answer. */
struct conn_liveness {
    int user_timeout_ms;
    int idle_s;
    int interval_s;
    int count;
};

/* 0: 30 s. Keepalives notice it within about the same time. */
struct conn_liveness conn_liveness(int tcp_user_timeout_ms);

/* Keepalives as options of a server's session: one that waits for us notices when we are gone, and
 * our locks and snapshots go then. (A user timeout there would also end sessions that we let wait:
 * it counts while the window is closed.) */
char *conn_liveness_options(const struct conn_liveness *liveness) MUST_USE;

/* Several hosts are tried in their order, each for as long as connect_timeout_ms.
 * Refused, unreachable: ERR_RETRY. Wrong password, no such database or role: ERR_CONFIG. */
bool conn_open(const struct conn_options *options, struct conn **ret_conn, struct err *err);
void conn_free(struct conn **conn); /* AUTO handler */

/* One or more statements, results dropped. */
bool conn_exec(struct conn *conn, const char *sql, struct err *err);

/* conn_exec with the text made by quote_sql's format (%I, %L, %s, %d, %u, %l). */
bool conn_execf(struct conn *conn, struct err *err, const char *fmt, ...);

/* One statement. *ret_rows is set on success only; the caller owns it. */
bool conn_query(struct conn *conn, const char *sql, struct rows **ret_rows, struct err *err);

/* One statement with text parameters ($1 …; NULL is SQL's NULL). */
bool conn_query_params(struct conn *conn, const char *sql, int count, const char *const *params,
                       struct rows **ret_rows, struct err *err);

/* The two halves of conn_query_params, to let two servers work at the same time. */
bool conn_send(struct conn *conn, const char *sql, int count, const char *const *params,
               struct err *err);
bool conn_receive(struct conn *conn, struct rows **ret_rows, struct err *err);

/* First column of the first row as text, owned by the caller; NULL when NULL or no row. */
bool conn_text(struct conn *conn, const char *sql, char **ret_text, struct err *err);

/* Whether the database has no encoding (SQL_ASCII): its texts may be any bytes, and our session
 * gets and sends them as they are. */
bool conn_is_raw(const struct conn *conn);

/* Whether a server refused a value because of encodings: bytes that are not valid in the one, or a
 * character that the other lacks. */
bool conn_refused_encoding(const struct err *err);

/* Takes in what has arrived on a connection that is not in use, without waiting. False: it is lost,
 * or was interrupted. */
bool conn_look(struct conn *conn, struct err *err);

int conn_version(const struct conn *conn); /* 150020 */
int conn_backend_pid(const struct conn *conn);
bool conn_is_lost(const struct conn *conn);
bool conn_in_transaction(const struct conn *conn);

/* The last warning of the session and its SQLSTATE; "" when there was none. Borrowed. */
const char *conn_notice(const struct conn *conn, const char **ret_sqlstate);
