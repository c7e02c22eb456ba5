/* Comparing one table of the source with its copy. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "verify/diff.h"
#include "verify/follower.h"
#include "verify/pair.h"

enum { MAX_DIFFERENCES = 10 }; /* that are named, of one table */

/* One key (or, in a table without one, one row's image) that is not the same on both sides. */
struct difference {
    enum difference_kind kind;
    int64_t hash;         /* of the key or of the row */
    int64_t source_count; /* without a key: how often the row is there */
    int64_t target_count; /* without a key */
    struct strv key;      /* values of the key columns as text, long ones cut */
    struct strv columns;  /* DIFFERENCE_CHANGED: names of those that differ */
    char *ctid;           /* owned; without a key: one such row where there are more */
};

enum outcome {
    OUTCOME_EQUAL,
    OUTCOME_DIFFERENT,
    OUTCOME_NO_TABLE,
    OUTCOME_NO_COLUMN,
    OUTCOME_UNSETTLED, /* neither equal nor different for certain: the reason says why */
};

struct comparison {
    const struct table *table; /* borrowed: of the source */
    enum outcome outcome;
    struct strv key;             /* names of the key columns; empty: compared as a multiset */
    struct strv missing_columns; /* OUTCOME_NO_COLUMN */
    struct part_sum sums[SIDES]; /* of the whole table; 0 when it was not read */
    struct difference differences[MAX_DIFFERENCES];
    size_t difference_count;
    int64_t unsettled;   /* rows about which nothing can be said, beside the differences */
    char *reason;        /* owned; for people: why; NULL when there is nothing to say */
    bool is_settled;     /* was compared again while both sides were written to */
    bool is_insert_only; /* its UPDATEs and DELETEs are not followed: it may differ */
    bool has_more;       /* there are, or may be, differences beyond those named */
};

#define COMPARISON_INIT ((struct comparison){0})

/* target: NULL when there is no such table. Memory stays bounded whatever the table's size. While
 * follower's engine runs, only what is proven counts as a difference; else what is seen. A table
 * that is dropped or altered meanwhile is unsettled. ret_result must be released in any case. */
bool compare_table(struct pair *pair, struct follower *follower, const struct table *source,
                   const struct table *target, struct comparison *ret_result,
                   struct err *err) MUST_USE;
void comparison_release(struct comparison *comparison); /* AUTO handler */
