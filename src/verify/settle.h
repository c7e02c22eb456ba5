/* Rows that differed while both sides are written to: looked at again and again, until each is
 * proven equal or different (judge.h), or holds out too long. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "verify/diff.h"
#include "verify/follower.h"
#include "verify/pair.h"
#include "verify/plan.h"

enum { SETTLE_ROWS = 256 }; /* at a time */

/* What is compared. All borrowed. */
struct ground {
    struct pair *pair;
    struct follower *follower; /* whose engine runs */
    const struct plan *plan;
    const struct scope *scope; /* its chosen parts do not matter */
};

/* Rows about which nothing can be said. */
struct unsettled {
    size_t count;
    const char *reason; /* constant: why, for people */
};

/* Takes count <= SETTLE_ROWS findings. *ret_proven gets those that are different for certain, in
 * their order. No transaction must be open. */
bool settle(const struct ground *ground, const struct finding *findings, size_t count,
            struct finding_list *ret_proven, struct unsettled *ret_unsettled,
            struct err *err) MUST_USE;
