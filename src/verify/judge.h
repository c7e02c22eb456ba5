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
};

/* The order of looks: source, its end of WAL, any glimpses at the target, a look at the target in
 * a state behind that end, all transactions visible; and again. all_visible: whether the last of
 * these was reached, for all the target had shown by then. A verdict is final. */
void judge_source(struct candidate *candidate, const struct sight *now, bool has_key,
                  bool all_visible);
void judge_glimpse(struct candidate *candidate, const struct sight *now);
/* all_visible: as it was before the last look at the source. */
void judge_target(struct candidate *candidate, const struct sight *now, bool has_key,
                  bool all_visible);
