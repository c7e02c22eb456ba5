/* The rules: see judge.h.
 *
 * Invariant: the target at position p shows the source as it was behind the transactions that
 * committed before p. Looks: S (source), L (its end of WAL, read after S), T (target, in one
 * snapshot with a position p >= L), S', L', T' (p' >= L'), …
 *
 * With a key a row is there or not, and every change to it writes all of it.
 * - Equal: some S and some T showed the same. A row that was wrong when its comparing began, and
 * that nothing has mended since, cannot pass: were S the older look, T would have to show what the
 *   source's row was when T was wrong; were T the older, the source would have come to T's value by
 *   a change, which mends the target.
 * - Different, by the source: S and S' show the very same row version. It was there all the time
 *   between, so also at p: that is not before S (p >= L) and not after S', provided that S' sees
 * all that committed before p. (A commit can be in the WAL, decoded and applied before others on
 * the source see it. S' sees enough if no transaction has touched the version: a row that is
 * updated or deleted bears the mark of who does it. Or if S' came after the end of all transactions
 * that were writing to the table after T.) T does not show it: T is wrong.
 * - Different, by the target: T and T' show the very same row version, and S' between them, with
 * all visible that T had applied, shows something else. What made the difference on the source
 *   committed after p and before L', so T' must have applied it, and with that replaced or deleted
 *   T's version. It has not: it is wrong.
 *
 * Without a key, changes add and take away rows that are all alike, and mend nothing: the target
 * always has the same number of rows too many, e. Looks bound it. Rows that stayed on the source
 * from S to S' were there at p, other ones perhaps too: e <= T - stayed. Rows that stayed on the
 * target from T to T' were there when it stood where S' is: e >= stayed - S'. (No rows at all
 * always stay: e <= T, e >= -S.) Equal is e = 0. Where S' is must be a place in the WAL: what S'
 * sees must not lack a transaction that committed before another that it sees, or it counts rows
 * that were never so many at one time. */
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

/* The rows were there at both looks, and all the time between. */
static bool has_stayed(const struct sight *before, const struct sight *now)
{
    return now->sum.rows > 0 && now->version == before->version &&
           part_sum_equal(&now->sum, &before->sum);
}

void candidate_init(struct candidate *candidate, const struct finding *finding)
{
    *candidate = (struct candidate){
        .finding = *finding,
        .least = INT64_MIN,
        .most = INT64_MAX,
    };
}

static void judge_excess(struct candidate *candidate)
{
    if (candidate->least > 0 || candidate->most < 0)
        candidate->verdict = VERDICT_DIFFERENT;
    else if (candidate->least == 0 && candidate->most == 0)
        candidate->verdict = VERDICT_EQUAL;
}

void judge_source(struct candidate *candidate, const struct sight *now, const struct view *view)
{
    const struct sight *before = &candidate->last[SIDE_SOURCE];
    const struct sight *other = &candidate->last[SIDE_TARGET];
    if (candidate->verdict != VERDICT_OPEN)
        return;
    bool is_bracket = candidate->looks[SIDE_SOURCE] && candidate->looks[SIDE_TARGET] &&
                      has_stayed(before, now) && (view->sees_target || !now->is_touched);
    if (!view->has_key) {
        if (view->is_whole)
            candidate->least = MAX_OF(candidate->least, -now->sum.rows);
        if (is_bracket)
            candidate->most = MIN_OF(candidate->most, other->sum.rows - now->sum.rows);
        judge_excess(candidate);
    } else if (has_shown(candidate, SIDE_TARGET, &now->sum))
        candidate->verdict = VERDICT_EQUAL;
    else if (is_bracket)
        candidate->verdict = VERDICT_DIFFERENT;
    remember(candidate, SIDE_SOURCE, now);
    candidate->last[SIDE_SOURCE] = *now;
}

void judge_glimpse(struct candidate *candidate, const struct sight *now, const struct view *view)
{
    if (candidate->verdict == VERDICT_OPEN && view->has_key &&
        has_shown(candidate, SIDE_SOURCE, &now->sum))
        candidate->verdict = VERDICT_EQUAL;
}

void judge_target(struct candidate *candidate, const struct sight *now, const struct view *view)
{
    const struct sight *before = &candidate->last[SIDE_TARGET];
    const struct sight *other = &candidate->last[SIDE_SOURCE];
    judge_glimpse(candidate, now, view);
    if (candidate->verdict != VERDICT_OPEN)
        return;
    bool is_bracket = candidate->looks[SIDE_TARGET] && has_stayed(before, now);
    if (!view->has_key) {
        candidate->most = MIN_OF(candidate->most, now->sum.rows);
        if (is_bracket && view->is_whole)
            candidate->least = MAX_OF(candidate->least, now->sum.rows - other->sum.rows);
        judge_excess(candidate);
    } else if (is_bracket && view->sees_target)
        candidate->verdict = VERDICT_DIFFERENT;
    remember(candidate, SIDE_TARGET, now);
    candidate->last[SIDE_TARGET] = *now;
}
