/* Inside src/pg only: the shapes behind struct conn and struct rows. */
#pragma once

#include <libpq-fe.h>

#include "base/err.h"
#include "base/stop.h"
#include "pg/conn.h"
#include "pg/rows.h"

struct conn {
    PGconn *pg;
    const struct stop *stop; /* borrowed; NULL: cannot be interrupted */
    char *what;              /* owned; "source", "target": for error texts */
    char notice[256];        /* the last warning's text */
    char notice_sqlstate[6];
    char *copy_row;       /* owned (PQfreemem): the row that copy_out_next gave last */
    size_t in_flight;     /* pipeline: results not read yet */
    size_t unflushed;     /* pipeline: bytes of parameters since the last flush */
    unsigned short_waits; /* replication: waits in a row that were short */
    bool is_gathering;    /* replication: see replication_receive() */
    bool is_streaming;    /* replication: has started; ended by closing, never by a cancel request,
                             which would overtake the last status */
};

struct rows *rows_wrap(PGresult *take_result);
const PGresult *rows_result(const struct rows *rows);

/* The error of a result (or, without one, of the connection) as class, SQLSTATE, text. Returns
 * false. */
bool conn_fail(struct conn *conn, const PGresult *result, struct err *err);

/* Waits until the socket is readable (and, while output is pending, writable), the timeout has
 * passed (negative: none) or stop is raised: then cancels what runs and fails with ERR_STOP.
 * extra_fd: one more descriptor that ends the wait when readable, or -1. */
bool conn_wait(struct conn *conn, int timeout_ms, int extra_fd, struct err *err);

/* Flushes output, reading input meanwhile so that neither side blocks. */
bool conn_flush(struct conn *conn, struct err *err);

/* The next result, waiting for it; NULL at the end of the command. */
bool conn_next_result(struct conn *conn, PGresult **ret_result, struct err *err);
