/* Both servers as one: the same question to each, answered at the same time. Owner: one thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/stop.h"
#include "conf/settings.h"
#include "pg/conn.h"
#include "verify/plan.h"

struct pair {
    struct conn *conns[SIDES]; /* owned */
    struct stop *stop;         /* borrowed; ends every wait */
    const char *recodes;       /* as in struct plan */
};

#define PAIR_INIT ((struct pair){0})

bool pair_open(struct pair *pair, const struct settings *settings, struct stop *stop,
               struct err *err) MUST_USE;
void pair_release(struct pair *pair); /* AUTO handler */

/* A read-only transaction on each side, of one snapshot. */
bool pair_begin(struct pair *pair, struct err *err) MUST_USE;
/* Ends both where they are open, whatever became of them. */
bool pair_end(struct pair *pair, struct err *err) MUST_USE;

/* Whether err says that a table is not what it was when the catalog was read. The connections can
 * be used again after pair_end(). */
bool pair_is_altered(const struct err *err);

/* Sends each side its statement, then reads both answers; both are set or none. On an error stop
 * is raised, which cancels what still runs on the other server; not when a table was altered. */
bool pair_query(struct pair *pair, const char *source_sql, const char *target_sql,
                struct rows *ret_rows[SIDES], struct err *err) MUST_USE;

/* AUTO handler for such an array. */
void pair_rows_free(struct rows *(*rows)[SIDES]);
