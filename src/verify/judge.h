/* What may be said of rows that are written to while they are compared: equal, different, or not
 * yet. Pure: no connection. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verify/diff.h"
#include "verify/plan.h"

/* What one side showed of a key (in a table without one: of all rows of the same hash). */
struct sight {
    struct part_sum sum;
    uint64_t version; /* the same only while they are the very same row versions */
    bool is_touched;  /* a transaction that others cannot see yet may have replaced one of them */
};

enum verdict { VERDICT_OPEN, VERDICT_EQUAL, VERDICT_DIFFERENT };

enum { JUDGE_MEMORY = 16 };

struct candidate {
    struct finding finding; /* as it was found; what is proven takes the newest values */
    enum verdict verdict;
    struct sight last[SIDES];
    size_t looks[SIDES];                         /* how often a side was looked at */
    struct part_sum memory[SIDES][JUDGE_MEMORY]; /* the newest of these */
    int64_t least; /* without a key: how many rows the target has too many, at least and at most */
    int64_t most;
};

void candidate_init(struct candidate *candidate, const struct finding *finding);

/* What is known of a look at the source. */
struct view {
    bool has_key;
    bool sees_target; /* it saw all transactions that the target had applied before */
    bool is_whole;    /* it saw no transaction of the table without those that committed before */
};

/* The order of looks: source, its end of WAL, any glimpses at the target, a look at the target in
 * a state behind that end; and again. The view is that of the last look at the source. A verdict is
 * final. */
void judge_source(struct candidate *candidate, const struct sight *now, const struct view *view);
void judge_glimpse(struct candidate *candidate, const struct sight *now, const struct view *view);
void judge_target(struct candidate *candidate, const struct sight *now, const struct view *view);
