/* How one table is compared: its key, what divides it into ranges, and the SQL for each step.
 * Pure: no connection. The SQL of both sides means the same on every server. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/strv.h"
#include "pg/catalog.h"

enum { PLAN_SHOWN_CHARS = 200 };

enum side { SIDE_SOURCE, SIDE_TARGET, SIDES };

struct plan {
    const struct table *tables[SIDES]; /* borrowed */
    const struct column **key;         /* owned array of borrowed columns of the source */
    size_t key_count;                  /* 0: compared as a multiset */
    char *lot;           /* owned; without a key: SQL of a number that is cheap to compute, and the
                            same for rows that are the same; NULL: no column gives one */
    struct strv bounds;  /* of the first key column, ascending: count + 1 ranges */
    const char *recodes; /* the databases have different encodings: that in which texts are
                            compared; SQL_ASCII: by their bytes. NULL: they have the same */
};

#define PLAN_INIT ((struct plan){0})

/* Both tables must outlive the plan; the target must have all columns of the source. */
void plan_init(struct plan *plan, const struct table *source, const struct table *target,
               const char *recodes);
void plan_release(struct plan *plan); /* AUTO handler */

/* Which rows a statement is about. */
struct scope {
    size_t first;            /* ranges 0 … bounds.count */
    size_t last;             /* at least first */
    uint32_t lots;           /* they are divided by the plan's lot into so many; 0: not divided */
    const char *chosen_lots; /* borrowed, as chosen */
    uint32_t parts;          /* they are divided by the key's hash into so many; 0: not divided */
    const char *chosen;      /* borrowed: "3,17", the parts that are meant; NULL: all */
};

/* Single rows: those with these key hashes (without a key: row hashes). */
struct chosen {
    const char *hashes;      /* borrowed: "5,-7" */
    const struct strv *keys; /* borrowed; a list for each key column, of values as text, that cover
                                these rows; NULL: the server looks at all rows of the scope */
};

/* Each text is owned by the caller. */

/* 0, rows, sum of the whole table. */
char *plan_total_sql(const struct plan *plan, enum side side);

/* Whether rows can be looked up by their keys' text on both sides. */
bool plan_can_seek(const struct plan *plan);

/* For the source: bounds of ranges of about the same size, a row each, in order. NULL: the table
 * cannot be divided into ranges that mean the same on both sides. */
char *plan_bounds_sql(const struct plan *plan);

/* range, rows, sum: a row for each range that is not empty. Only with bounds. */
char *plan_ranges_sql(const struct plan *plan, enum side side);

/* lot, rows, sum: a row for each lot that is not empty. Only with a lot. */
char *plan_lots_sql(const struct plan *plan, enum side side, uint32_t lots);

/* part, rows, sum: a row for each part of the scope that is not empty. Its chosen is not used. */
char *plan_parts_sql(const struct plan *plan, enum side side, const struct scope *scope);

/* Key hash, row hash, in the key's order. Without a key: row hash, count, ctid of one row. */
char *plan_rows_sql(const struct plan *plan, enum side side, const struct scope *scope);

/* Of the rows with these key hashes ("5,-7"): key hash, "{hash of each column}", key columns as
 * text, cut at PLAN_SHOWN_CHARS. Without a key: row hash, ctid of one row. */
char *plan_describe_sql(const struct plan *plan, enum side side, const struct scope *scope,
                        const char *hashes);

/* Key hash (without a key: row hash), rows, sum, sum that is the same only while they are the very
 * same row versions, whether a transaction may have touched one of them since. A row for each
 * chosen one that is there. */
char *plan_look_sql(const struct plan *plan, enum side side, const struct scope *scope,
                    const struct chosen *chosen);
