/* One of the demo's two PostgreSQL clusters. Owner: main thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/stop.h"
#include "demo/process.h"
#include "demo/place.h"
#include "pg/conn.h"

struct cluster {
    const char *name; /* borrowed: "source" or "target", a constant */
    char *url;        /* owned: of the database shop, with password; NULL until it runs */
    struct process server;
    int port;
};

#define CLUSTER_INIT(side) ((struct cluster){.name = (side), .server = PROCESS_INIT})

/* Makes the cluster in place and starts it with an empty database shop. outlives_us: it is not
 * stopped when the demo dies. */
bool cluster_start(struct cluster *cluster, const struct place *place, bool outlives_us,
                   const struct stop *stop, struct err *err) MUST_USE;

/* A connection to the database shop; options may be NULL. */
bool cluster_connect(const struct cluster *cluster, const char *role, const char *options,
                     const struct stop *stop, struct conn **ret_conn, struct err *err) MUST_USE;

/* Stops several at the same time: fast, then immediate, then by force. */
void clusters_stop(struct cluster *clusters, size_t count);
void cluster_release(struct cluster *cluster); /* memory only */
