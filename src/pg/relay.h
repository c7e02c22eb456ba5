/* Plays the server for one client that sends simple queries only, as pg_restore does, and passes
 * each of them on to a session of ours. For a client that is newer than the server. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "pg/conn.h"

struct relay {
    struct conn_options target; /* where queries go; its stop also ends the waits for the client */
    const char *withheld;       /* a query, byte for byte, that is answered but not passed on */
    /* Whether a query goes on as something else to a server of that version, which it appends to
     * adapted; or NULL. */
    bool (*adapt)(const char *query, int version, struct buf *adapted);
};

/* Serves the client at the other end of fd (a stream socket, which stays the caller's) until it
 * goes. Errors of its queries are the client's; false: the session itself could not be had or was
 * lost, which the client is told as well. */
bool relay_serve(const struct relay *relay, int fd, struct err *err);
