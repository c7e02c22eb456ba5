/* The shop database: its SQL (demo/shop.sql, built into the program) and what is counted in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

struct shop_size {
    int64_t tables; /* leaves, not the partitioned table above them */
    int64_t rows;
    int64_t bytes; /* with indexes and TOAST */
};

/* Makes schema and rows in an empty database; scale: millions of rows, about. */
bool shop_load(struct conn *conn, int scale, struct err *err) MUST_USE;

bool shop_measure(struct conn *conn, struct shop_size *ret_size, struct err *err) MUST_USE;

/* Checks, in one snapshot, that the sum of all balances is what the accounts were opened with, that
 * turnover and transfers agree, and that each account's balance follows from its transfers. Wrong
 * sums are ERR_DATA. */
bool shop_check(struct conn *conn, struct err *err) MUST_USE;

/* Alters one value, for --break. *ret_where is a constant that says which. */
bool shop_break(struct conn *conn, const char **ret_where, struct err *err) MUST_USE;
