/* How far the copy of each table is, as the keeper has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keeper/keeper.h"
#include "pg/conn.h"

struct keeper_table_progress {
    uint32_t oid; /* the source's */
    int64_t parts;
    int64_t parts_done;
    int64_t rows; /* of the parts that are done */
    int64_t bytes;
};

struct keeper_progress {
    struct keeper_table_progress *items; /* owned; by oid */
    size_t count;
};

#define KEEPER_PROGRESS_INIT ((struct keeper_progress){0})

bool keeper_progress_read(struct conn *conn, const struct keeper_ref *ref,
                          struct keeper_progress *ret_progress, struct err *err);
void keeper_progress_release(struct keeper_progress *progress); /* AUTO handler */

/* NULL when the keeper does not know the table. Borrowed. */
const struct keeper_table_progress *keeper_progress_find(const struct keeper_progress *progress,
                                                         uint32_t oid);
