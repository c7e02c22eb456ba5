/* verify's verdicts on rows that are written to, against a world made at random: transactions on
 * the source that commit before others see it, a target that follows in the order of commits, with
 * or without one row of damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verify/judge.h"

enum { MAX_ROWS = 4000, WORLDS = 60000, ROUNDS = 6, NEVER = 0 };

struct version {
    uint64_t value;
    int made_by;  /* a transaction; not of the target */
    int ended_by; /* a transaction; of the target: 1, it is gone */
};

enum phase { PHASE_OPEN, PHASE_COMMITTED, PHASE_VISIBLE, PHASE_ABORTED };

struct transaction {
    enum phase phase;
    int row;      /* made; NEVER: none */
    int other;    /* ended; NEVER: none */
    uint64_t lsn; /* of its commit */
};

struct world {
    uint64_t seed;
    bool has_key;
    struct version rows[MAX_ROWS]; /* of the source, from 1 */
    int row_count;
    struct transaction txs[MAX_ROWS]; /* from 1 */
    int tx_count;
    uint64_t lsn;
    struct version copies[MAX_ROWS]; /* of the target */
    int copy_count;
    uint64_t position; /* all commits before it are applied */
    bool has_stopped;  /* a change that does not fit: the engine would stop */
};

static unsigned draw(struct world *world, unsigned below)
{
    world->seed = world->seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(world->seed >> 33) % below;
}

static bool is_visible(const struct world *world, int tx)
{
    return tx == NEVER || world->txs[tx].phase == PHASE_VISIBLE;
}

/* A row is there, seen by others, and nobody holds it. */
static bool is_free(const struct world *world, int row)
{
    int by = world->rows[row].ended_by;
    return is_visible(world, world->rows[row].made_by) &&
           (by == NEVER || world->txs[by].phase == PHASE_ABORTED);
}

static int pick_row(struct world *world)
{
    int start = world->row_count ? (int)draw(world, (unsigned)world->row_count) : 0;
    for (int i = 0; i < world->row_count; i++) {
        int row = 1 + (start + i) % world->row_count;
        if (is_free(world, row))
            return row;
    }
    return NEVER;
}

/* With a key: whether a row or a claim to it stands in the way of an INSERT. */
static bool is_taken(const struct world *world)
{
    for (int i = 1; i <= world->row_count; i++) {
        int made = world->rows[i].made_by;
        int ended = world->rows[i].ended_by;
        bool is_dead = made != NEVER && world->txs[made].phase == PHASE_ABORTED;
        if (!is_dead && (ended == NEVER || world->txs[ended].phase != PHASE_VISIBLE))
            return true;
    }
    return false;
}

static void begin(struct world *world)
{
    if (world->tx_count + 2 >= MAX_ROWS || world->row_count + 2 >= MAX_ROWS)
        return;
    int row = pick_row(world);
    unsigned choice = draw(world, 3); /* INSERT, UPDATE, DELETE */
    bool makes = choice < 2;
    if (choice == 0 ? world->has_key && is_taken(world) : row == NEVER)
        return;
    int tx = ++world->tx_count;
    world->txs[tx] = (struct transaction){.other = choice ? row : NEVER};
    if (choice)
        world->rows[row].ended_by = tx;
    if (makes && (world->has_key || choice == 0)) {
        world->txs[tx].row = ++world->row_count;
        world->rows[world->row_count] =
            (struct version){.value = world->has_key ? 1 + draw(world, 3) : 1, .made_by = tx};
    }
}

static void advance(struct world *world)
{
    for (int tx = 1; tx <= world->tx_count; tx++) {
        struct transaction *one = &world->txs[tx];
        if (one->phase > PHASE_COMMITTED || draw(world, 3))
            continue;
        if (one->phase == PHASE_COMMITTED)
            one->phase = PHASE_VISIBLE;
        else if (draw(world, 8) == 0)
            one->phase = PHASE_ABORTED;
        else {
            one->phase = PHASE_COMMITTED;
            one->lsn = world->lsn++;
        }
    }
}

static int pick_copy(struct world *world)
{
    int start = world->copy_count ? (int)draw(world, (unsigned)world->copy_count) : 0;
    for (int i = 0; i < world->copy_count; i++) {
        int copy = 1 + (start + i) % world->copy_count;
        if (!world->copies[copy].ended_by)
            return copy;
    }
    return NEVER;
}

static void apply(struct world *world, const struct transaction *tx)
{
    int copy = pick_copy(world);
    world->has_stopped |= tx->other && copy == NEVER;
    world->has_stopped |= world->has_key && tx->row && !tx->other && copy != NEVER;
    if (world->has_stopped)
        return;
    if (tx->other)
        world->copies[copy].ended_by = 1;
    if (tx->row)
        world->copies[++world->copy_count].value = world->rows[tx->row].value;
}

static void follow_to(struct world *world, uint64_t lsn)
{
    while (world->position < lsn && !world->has_stopped) {
        for (int tx = 1; tx <= world->tx_count; tx++)
            if ((world->txs[tx].phase == PHASE_COMMITTED ||
                 world->txs[tx].phase == PHASE_VISIBLE) &&
                world->txs[tx].lsn == world->position)
                apply(world, &world->txs[tx]);
        world->position++;
    }
}

static void live(struct world *world)
{
    for (unsigned i = draw(world, 6); i > 0; i--) {
        if (draw(world, 2))
            begin(world);
        advance(world);
        if (draw(world, 2) && world->position < world->lsn)
            follow_to(world,
                      world->position + 1 + draw(world, (unsigned)(world->lsn - world->position)));
    }
}

static void add_version(struct sight *sight, uint64_t value, int id)
{
    sight->sum.rows++;
    sight->sum.sum += value;
    uint64_t hash = ((uint64_t)id + 1) * 0x9e3779b97f4a7c15U;
    hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9U;
    sight->version += hash ^ (hash >> 32);
}

static struct sight see_source(const struct world *world)
{
    struct sight sight = {0};
    for (int i = 1; i <= world->row_count; i++) {
        const struct version *row = &world->rows[i];
        if (!is_visible(world, row->made_by) || (row->ended_by && is_visible(world, row->ended_by)))
            continue;
        add_version(&sight, row->value, i);
        sight.is_touched |= row->ended_by != NEVER;
    }
    return sight;
}

static struct sight see_target(const struct world *world)
{
    struct sight sight = {0};
    for (int i = 1; i <= world->copy_count; i++)
        if (!world->copies[i].ended_by)
            add_version(&sight, world->copies[i].value, i);
    return sight;
}

static bool is_anyone_writing(const struct world *world)
{
    for (int tx = 1; tx <= world->tx_count; tx++)
        if (world->txs[tx].phase < PHASE_VISIBLE)
            return true;
    return false;
}

/* All end who write now; others may begin. */
static bool await_writers(struct world *world)
{
    int last = world->tx_count;
    bool is_waiting = draw(world, 4) > 0;
    for (bool goes_on = is_waiting; goes_on;) {
        live(world);
        goes_on = false;
        for (int tx = 1; tx <= last; tx++)
            goes_on |= world->txs[tx].phase < PHASE_VISIBLE;
    }
    return is_waiting;
}

static void damage(struct world *world)
{
    int copy = pick_copy(world);
    if (copy == NEVER || (!world->has_key && draw(world, 2)))
        world->copies[++world->copy_count].value = world->has_key ? 9 : 1;
    else if (world->has_key && draw(world, 2))
        world->copies[copy].value = 1 + (world->copies[copy].value + draw(world, 2)) % 3;
    else
        world->copies[copy].ended_by = 1;
}

/* What comes out in the end, when the target has applied all there is. */
static bool becomes_equal(struct world *world)
{
    while (is_anyone_writing(world))
        advance(world);
    follow_to(world, world->lsn);
    struct sight source = see_source(world);
    struct sight target = see_target(world);
    return part_sum_equal(&source.sum, &target.sum);
}

static enum verdict watch(struct world *world)
{
    struct finding finding = {0};
    struct candidate candidate;
    struct view view = {.has_key = world->has_key};
    candidate_init(&candidate, &finding);
    for (int round = 0; round < ROUNDS && candidate.verdict == VERDICT_OPEN; round++) {
        view.is_whole = !is_anyone_writing(world);
        view.sees_target |= view.is_whole;
        struct sight sight = see_source(world);
        judge_source(&candidate, &sight, &view);
        live(world);
        uint64_t end = world->lsn;
        live(world);
        sight = see_target(world);
        judge_glimpse(&candidate, &sight, &view);
        follow_to(world, end);
        sight = see_target(world);
        if (world->has_stopped)
            break;
        judge_target(&candidate, &sight, &view);
        live(world);
        view.sees_target = await_writers(world);
        if (draw(world, 2))
            live(world);
    }
    return candidate.verdict;
}

static void run_worlds(bool has_key, bool is_damaged, int *ret_verdicts)
{
    struct world *world = malloc(sizeof(*world));
    assert_non_null(world);
    for (unsigned seed = 1; seed <= WORLDS; seed++) {
        memset(world, 0, sizeof(*world));
        world->seed = seed * 2654435761U;
        world->has_key = has_key;
        for (int i = 0; i < 5; i++)
            live(world);
        if (is_damaged)
            damage(world);
        while (is_damaged && is_anyone_writing(world))
            advance(world); /* the source shows what it was when the row was damaged */
        bool was_equal = !is_damaged;
        enum verdict verdict = watch(world);
        if (world->has_stopped)
            continue; /* the engine says it */
        ret_verdicts[verdict]++;
        if (verdict == VERDICT_DIFFERENT && was_equal)
            fail_msg("seed %u: a false difference", seed);
        if (verdict == VERDICT_EQUAL && !becomes_equal(world) && !world->has_stopped)
            fail_msg("seed %u: a false equality", seed);
    }
    free(world);
}

static void assert_verdicts(bool has_key)
{
    int healthy[3] = {0};
    int damaged[3] = {0};
    run_worlds(has_key, false, healthy);
    run_worlds(has_key, true, damaged);
    assert_int_equal(healthy[VERDICT_DIFFERENT], 0);
    assert_true(healthy[VERDICT_EQUAL] > WORLDS / 4);
    assert_true(damaged[VERDICT_DIFFERENT] > WORLDS / 50);
}

static void rows_with_a_key_are_judged_right(void **state)
{
    (void)state;
    assert_verdicts(true);
}

static void rows_without_a_key_are_judged_right(void **state)
{
    (void)state;
    assert_verdicts(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_with_a_key_are_judged_right),
        cmocka_unit_test(rows_without_a_key_are_judged_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
