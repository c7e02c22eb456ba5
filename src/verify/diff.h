/* What two servers said about one table, put side by side: sums of parts, then single rows.
 * Pure: no connection. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of one part of a table: how many, and the sum of their hashes modulo 2^64. */
struct part_sum {
    int64_t rows;
    uint64_t sum;
};

bool part_sum_equal(const struct part_sum *a, const struct part_sum *b);

/* An exact decimal sum as the server prints it, modulo 2^64. NULL (no rows) gives 0. */
uint64_t checksum_parse(const char *text);

/* One row of a table with a key: hash of key, hash of row. Of a table without one: hash of row,
 * how often it is there. */
struct entry {
    int64_t key;
    int64_t value;
    uint32_t place; /* in the order in which the server gave it */
};

enum difference_kind {
    DIFFERENCE_MISSING, /* the target has not got it */
    DIFFERENCE_EXTRA,   /* only the target has it */
    DIFFERENCE_CHANGED, /* both have it, with other values */
};

struct finding {
    enum difference_kind kind;
    int64_t key;
    int64_t source_value; /* 0 when missing there */
    int64_t target_value; /* 0 when missing there */
    uint32_t place;
};

struct finding_list {
    struct finding *items; /* owned */
    size_t count;
};

#define FINDING_LIST_INIT ((struct finding_list){0})

/* Which entries differ, in their place's order. Sorts both arrays by key. */
void entries_compare(struct entry *source, size_t source_count, struct entry *target,
                     size_t target_count, struct finding_list *ret_findings);
void finding_list_release(struct finding_list *list); /* AUTO handler */
