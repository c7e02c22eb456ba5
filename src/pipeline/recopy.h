/* The thread that copies tables anew while the engine follows: each into a table beside, in the
 * keeper's schema of the target. It owns one connection to the source and one to the target. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pipeline/engine.h"

/* One table. The engine's thread fills in the oid; the rest is the thread's until it is handed
 * back. Owned texts. */
struct recopy_table {
    uint32_t oid;
    char *schema; /* as the source has it now */
    char *name;
    char *columns;   /* those that were copied, as "a, b" in SQL; "" without any */
    char *signature; /* as keeper_table has it */
    char *snapshot;  /* S and L of DESIGN 4 */
    uint64_t end_lsn;
    uint32_t timeline; /* of the source that it was read from */
    struct err err;    /* kind ERR_NONE: it is copied; never ERR_RETRY, but when it is broken off */
};

struct recopy;

/* tables is borrowed until recopy_stop(). They are copied one after the other: first the thread
 * waits for all who write to the table, so the stream's changes must be set aside from here on. */
struct recopy *recopy_start(struct engine *engine, struct recopy_table *tables, size_t count);

/* A table that is done, or has failed; NULL: none just now. */
struct recopy_table *recopy_next(struct recopy *recopy);

/* Breaks off what still runs. */
void recopy_stop(struct recopy **recopy);
void recopy_table_release(struct recopy_table *table);
