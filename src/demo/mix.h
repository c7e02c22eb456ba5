/* What a writing session does: a random mix of transactions, each as one SQL text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* Owner: one writer. */
struct mix {
    uint64_t random;
    int number; /* of the writer, from 0 */
    int serial; /* transactions made so far */
};

void mix_init(struct mix *mix, int number);

/* The next transaction, owned by the caller. Its last result is a boolean: whether it wrote
 * something. *ret_is_rollback: it takes back what it did. */
char *mix_next(struct mix *mix, bool *ret_is_rollback) MUST_USE;
