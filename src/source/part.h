/* Parts of the copy: cutting tables, reading one part under the copy's snapshot.
 *
 * Invariant: a part's rows are those of the snapshot. A snapshot does not protect against TRUNCATE
 * and rewrites (the reader then sees an empty or moved table, without an error), so the table is
 * locked first and its file and columns of now are compared with those of the snapshot. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/catalog.h"
#include "pg/conn.h"

struct part {
    const struct table *table; /* borrowed: the plan's list */
    const struct table *to;    /* borrowed: where its rows go; NULL: to a table of its name */
    int number;                /* within its table, from 0 */
    int64_t first_block;
    int64_t end_block; /* exclusive; -1: to the end, whatever it has grown to */
    int64_t bytes;     /* estimate, for order and progress */
    bool is_whole;     /* the table is one part */
    bool is_binary;
    bool is_urgent;   /* read before all others: its table changed under an earlier snapshot */
    bool is_restless; /* its table kept changing: locked first, then read under an S of its own */
};

struct part_list {
    struct part *items; /* owned */
    size_t count;
};

#define PART_LIST_INIT ((struct part_list){0})

/* Appends the parts of one table: block ranges of about part_bytes, from its size, never a scan.
 * Returns their number. */
int part_plan(struct part_list *list, const struct table *table, bool is_binary, int64_t part_bytes,
              int64_t block_bytes);

/* The last ones, as many as part_plan() has just appended, go to this table of the target. */
void part_list_route(struct part_list *list, int count, const struct table *to);

/* A restless table as one part. */
void part_plan_restless(struct part_list *list, const struct table *table, bool is_binary);
/* The last ones, as many as part_plan() has just appended, are to be read before all others. */
void part_list_hurry(struct part_list *list, int count);
void part_list_sort(struct part_list *list); /* urgent ones, then largest first */
void part_list_release(struct part_list *list);

/* Where the part's nth row (from 1) stands: "ctid (0,5)", with its key if it has one; owned by the
 * caller, NULL when it cannot be told. On a connection of its own: that of the COPY is in error. */
char *part_row_label(struct conn *source, const struct part *part, const char *snapshot,
                     int64_t nth);

/* The COPY commands of a part; owned by the caller. */
char *part_read_sql(const struct part *part);
char *part_write_sql(const struct part *part);

enum part_state {
    PART_READY,   /* a transaction is open, the table locked: read it, then COMMIT */
    PART_CHANGED, /* truncated, rewritten, altered or gone since the snapshot; no transaction */
};

/* S and L of DESIGN 4 for a restless part; empty for others, which have those of the copy. */
struct part_snapshot {
    char *snapshot; /* owned; NULL: that of the copy */
    uint64_t end_lsn;
};

void part_snapshot_release(struct part_snapshot *snapshot); /* AUTO handler */

/* Opens the source transaction of a part under an exported snapshot; a restless one locks first
 * and takes its own. A snapshot that is gone is ERR_RETRY. */
bool part_open(struct conn *source, const struct part *part, const char *snapshot,
               enum part_state *ret_state, struct part_snapshot *ret_own, struct err *err);
