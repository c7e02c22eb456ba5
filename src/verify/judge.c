/* The rules: see judge.h.
 *
 * Invariant: the target at position p shows the source as it was behind the transactions that
 * committed before p. Looks: S (source), L (its end of WAL, read after S), T (target, in one
 * snapshot with a position p >= L), S', L', T' (p' >= L'), …
 *
 * Equal: some S and some T showed the same. A row that was wrong when its comparing began, and that
 * nothing has mended since, cannot pass: were S the older look, T would have to show what the
 * source's row was when T was wrong; were T the older, the source would have come to T's value by
 * an update, which mends the target.
 *
 * Different, by the source: S and S' show the very same row versions. They were there all the time
 * between, so also at p: it is not before S (p >= L) and not after S', provided that S' sees all
 * that committed before p. A commit can be in the WAL, decoded and applied before others on the
 * source see it; S' is enough if no transaction has touched the row versions (a row that is updated
 * or deleted bears the mark of who does it), or if S' came after the end of all transactions that
 * were writing to the table after T. T does not show these rows: it is wrong.
 *
 * Different, by the target: T and T' show the very same row versions, and S' between them, with all
 * visible that T had shown, shows another value or fewer rows. What made the difference on the
 * source committed after p and before L', so T' must have applied it, and with that replaced or
 * deleted one of T's row versions. It has not: it is wrong.
 *
 * Without a key, rows of the same hash are interchangeable: other rows of it may come and go while
 * those seen stay. So there only "fewer than stayed all the time" proves anything. */
#include "verify/judge.h"

static bool has_shown(const struct candidate *candidate, enum side side, const struct part_sum *sum)
{
    size_t count = MIN_OF(candidate->looks[side], (size_t)JUDGE_MEMORY);
    for (size_t i = 0; i < count; i++)
        if (part_sum_equal(&candidate->memory[side][i], sum))
            return true;
    return false;
}

static void remember(struct candidate *candidate, enum side side, const struct sight *now)
{
    candidate->memory[side][candidate->looks[side]++ % JUDGE_MEMORY] = now->sum;
}

/* Rows that were there at both looks, and all the time between. */
static bool has_stayed(const struct sight *before, const struct sight *now)
{
    return now->sum.rows > 0 && now->version == before->version &&
           part_sum_equal(&now->sum, &before->sum);
}

static bool lacks(const struct sight *other, const struct sight *stayed, bool has_key)
{
    return has_key ? !part_sum_equal(&other->sum, &stayed->sum)
                   : other->sum.rows < stayed->sum.rows;
}

void judge_source(struct candidate *candidate, const struct sight *now, bool has_key,
                  bool all_visible)
{
    if (candidate->verdict != VERDICT_OPEN)
        return;
    const struct sight *before = &candidate->last[SIDE_SOURCE];
    bool is_bracket = candidate->looks[SIDE_SOURCE] && candidate->looks[SIDE_TARGET];
    if (has_shown(candidate, SIDE_TARGET, &now->sum))
        candidate->verdict = VERDICT_EQUAL;
    else if (is_bracket && has_stayed(before, now) && (all_visible || !now->is_touched) &&
             lacks(&candidate->last[SIDE_TARGET], now, has_key))
        candidate->verdict = VERDICT_DIFFERENT;
    remember(candidate, SIDE_SOURCE, now);
    candidate->last[SIDE_SOURCE] = *now;
}

void judge_glimpse(struct candidate *candidate, const struct sight *now)
{
    if (candidate->verdict == VERDICT_OPEN && has_shown(candidate, SIDE_SOURCE, &now->sum))
        candidate->verdict = VERDICT_EQUAL;
}

void judge_target(struct candidate *candidate, const struct sight *now, bool has_key,
                  bool all_visible)
{
    judge_glimpse(candidate, now);
    if (candidate->verdict != VERDICT_OPEN)
        return;
    const struct sight *before = &candidate->last[SIDE_TARGET];
    if (candidate->looks[SIDE_TARGET] && all_visible && has_stayed(before, now) &&
        lacks(&candidate->last[SIDE_SOURCE], now, has_key))
        candidate->verdict = VERDICT_DIFFERENT;
    remember(candidate, SIDE_TARGET, now);
    candidate->last[SIDE_TARGET] = *now;
}
