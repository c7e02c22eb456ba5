/* The engine under demonstration: this same program as a child, `run` and `verify`. Owner: main
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"
#include "demo/process.h"
#include "demo/cluster.h"
#include "demo/place.h"
#include "demo/scrape.h"

struct engine {
    const struct place *place; /* borrowed */
    char *program;             /* owned: our own executable */
    char *log_path;            /* owned */
    struct strv env;           /* its environment, URLs in it: arguments are for everybody to see */
    struct process child;
    int port;             /* where it serves /metrics */
    struct scrape now;    /* what this life of it said last */
    struct scrape before; /* rows, bytes, transactions of its earlier lives */
    int kills;
};

#define ENGINE_INIT ((struct engine){.child = PROCESS_INIT})

bool engine_init(struct engine *engine, const struct place *place, const struct cluster *source,
                 const struct cluster *target, struct err *err) MUST_USE;
void engine_release(struct engine *engine); /* kills what runs */

/* `trunkline run`, in the background. */
bool engine_start(struct engine *engine, struct err *err) MUST_USE;

/* Reads its numbers. An engine that has ended by itself is an error. */
bool engine_look(struct engine *engine, struct err *err) MUST_USE;

/* kill -9, and starts it again. */
bool engine_kill_and_start(struct engine *engine, struct err *err) MUST_USE;

/* SIGTERM; it has to end with exit code 0. */
bool engine_stop(struct engine *engine, const struct stop *stop, struct err *err) MUST_USE;

int64_t engine_transactions(const struct engine *engine); /* of all its lives */

/* `trunkline verify` to its end. *ret_code: its exit code; *ret_text: what it printed, owned by the
 * caller. */
bool engine_verify(struct engine *engine, const struct stop *stop, int *ret_code, char **ret_text,
                   struct err *err) MUST_USE;
