/* Holding a snapshot for the copy: the transaction that exports it, S and L of DESIGN 4. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"
#include "pipeline/engine.h"

struct hold {
    struct conn *conn; /* in the holding transaction: reads through it are under S */
    char *exported;    /* owned: for SET TRANSACTION SNAPSHOT, as long as conn lives */
    char *snapshot;    /* owned: S, as pg_current_snapshot() prints it */
    uint64_t end_lsn;  /* L: the insert position, read after S */
};

void hold_release(struct hold *hold); /* AUTO handler: ends the transaction */

/* Takes over the snapshot that the slot's creation exported, after waiting until all that it
 * shows is visible to a fresh one; from then on the creating connection is not needed. */
bool hold_created(struct engine *engine, struct hold *ret_hold, struct err *err);

/* Who waits: status is told through this connection to the keeper, and stop ends it. */
struct hold_waiter {
    const struct engine *engine;
    struct conn *keeper;
    const struct stop *stop;
};

/* Waits for the end of every transaction that holds a writer's lock on one of the tables now. */
bool hold_wait_writers(const struct hold_waiter *waiter, struct conn *conn, const char *oids,
                       struct err *err);

/* A new snapshot beside an existing slot: first waits for the end of every transaction that holds
 * a writer's lock on one of the tables now. oids: "{1,2}", an array of their OIDs. */
bool hold_new(struct engine *engine, const char *oids, struct hold *ret_hold, struct err *err);

/* Waits until all transactions that run now are over. A change is decoded with the catalog of its
 * own time: of a transaction that wrote before the publication was made, the stream would fail. */
bool hold_wait_running(struct engine *engine, struct conn *conn, struct err *err);
