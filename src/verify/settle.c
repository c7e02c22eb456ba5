/* The looks that judge.c's rules need: see settle.h and judge.c. Every look is one statement, so
 * one snapshot; on the target it reads the position as well.
 *
 * Rows are looked up by the text of their keys where the servers can do that; else each look reads
 * the whole scope. While the target is on its way to the position it has to pass, cheap looks go
 * on: a row that is written to all the time is found equal when the target comes to the state that
 * the source has shown. */
#include "verify/settle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "verify/judge.h"

enum {
    MIN_ROUNDS = 3, /* without any verdict */
    PATIENCE_MS = 10000,
    WRITERS_MS = 1000,
    WRITERS_DELAY_MS = 2,
};

struct settling {
    const struct ground *ground;
    struct candidate *candidates; /* owned; by hash */
    size_t count;
    size_t open;
    struct strv *keys; /* owned; a list for each key column, NULL: rows cannot be looked up */
    char *sql[SIDES];  /* owned */
    bool all_visible;  /* all that the target has applied is visible on the source */
    bool is_quiet;     /* nobody writes to the table */
    struct view view;  /* of the last look at the source */
};

static void settling_release(struct settling *settling)
{
    for (size_t i = 0; settling->keys && i < settling->ground->plan->key_count; i++)
        strv_release(&settling->keys[i]);
    for (int side = 0; side < SIDES; side++)
        free(settling->sql[side]);
    free(settling->keys);
    free(settling->candidates);
}

static int by_hash(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    return (a->finding.key > b->finding.key) - (a->finding.key < b->finding.key);
}

/* By hash, each once: a key that the target has twice was found twice. */
static void sort_out(struct settling *settling)
{
    struct candidate *candidates = settling->candidates;
    size_t kept = 0;
    qsort(candidates, settling->count, sizeof(*candidates), by_hash);
    for (size_t i = 0; i < settling->count; i++)
        if (!kept || candidates[kept - 1].finding.key != candidates[i].finding.key)
            candidates[kept++] = candidates[i];
    settling->count = kept;
}

static size_t count_open(const struct settling *settling)
{
    size_t open = 0;
    for (size_t i = 0; i < settling->count; i++)
        open += settling->candidates[i].verdict == VERDICT_OPEN;
    return open;
}

static struct candidate *find_candidate(const struct settling *settling, int64_t hash)
{
    const struct candidate wanted = {.finding = {.key = hash}};
    return bsearch(&wanted, settling->candidates, settling->count, sizeof(wanted), by_hash);
}

static char *list_hashes(const struct settling *settling)
{
    struct buf hashes = BUF_INIT;
    for (size_t i = 0; i < settling->count; i++)
        if (settling->candidates[i].verdict == VERDICT_OPEN)
            buf_fmt(&hashes, hashes.len ? ", %" PRId64 : "%" PRId64,
                    settling->candidates[i].finding.key);
    return buf_take(&hashes);
}

/* Of each row that is there. False: a key is too long to be kept. */
static bool add_keys(struct settling *settling, const struct rows *rows, bool *is_there)
{
    size_t key_count = settling->ground->plan->key_count;
    for (int row = 0; row < rows_count(rows); row++) {
        struct candidate *candidate = find_candidate(settling, rows_int(rows, row, 0));
        if (!candidate || is_there[candidate - settling->candidates])
            continue;
        is_there[candidate - settling->candidates] = true;
        for (size_t i = 0; i < key_count; i++) {
            const char *value = rows_text(rows, row, (int)i + 2);
            if (!value || strlen(value) >= PLAN_SHOWN_CHARS)
                return false;
            strv_add(&settling->keys[i], value);
        }
    }
    return true;
}

/* Reads the keys' text from either side. What neither has any more is equal. */
static bool read_keys(struct settling *settling, struct err *err)
{
    const struct ground *ground = settling->ground;
    AUTO(str_free) char *hashes = list_hashes(settling);
    AUTO(pair_rows_free) struct rows *rows[SIDES] = {NULL};
    AUTO(str_free)
    char *source = plan_describe_sql(ground->plan, SIDE_SOURCE, ground->scope, hashes);
    AUTO(str_free)
    char *target = plan_describe_sql(ground->plan, SIDE_TARGET, ground->scope, hashes);
    if (!pair_query(ground->pair, source, target, rows, err))
        return false;
    bool is_there[SETTLE_ROWS] = {false};
    settling->keys = mem_alloc(ground->plan->key_count * sizeof(struct strv));
    bool can_seek = add_keys(settling, rows[SIDE_SOURCE], is_there) &&
                    add_keys(settling, rows[SIDE_TARGET], is_there);
    for (size_t i = 0; can_seek && i < settling->count; i++)
        if (!is_there[i])
            settling->candidates[i].verdict = VERDICT_EQUAL;
    for (size_t i = 0; !can_seek && i < ground->plan->key_count; i++)
        strv_release(&settling->keys[i]);
    if (!can_seek) {
        free(settling->keys);
        settling->keys = NULL;
    }
    return true;
}

/* One more column, of the same snapshot, which is there without any row too. */
static void add_state(char **sql, const char *state)
{
    str_set(sql, str_fmt("SELECT x.*, (%s) FROM (SELECT) AS one LEFT JOIN (%s) AS x ON true", state,
                         *sql));
}

/* A list of the open ones; their number; the statements. Keys of others do no harm. */
static void prepare(struct settling *settling)
{
    const struct ground *ground = settling->ground;
    AUTO(str_free) char *hashes = list_hashes(settling);
    struct chosen chosen = {.hashes = hashes, .keys = settling->keys};
    settling->open = count_open(settling);
    for (int side = 0; side < SIDES && settling->open; side++)
        str_set(&settling->sql[side],
                plan_look_sql(ground->plan, (enum side)side, ground->scope, &chosen));
    if (!settling->open)
        return;
    AUTO(str_free) char *position = follower_position_sql(ground->follower);
    add_state(&settling->sql[SIDE_SOURCE], "pg_catalog.pg_current_snapshot()");
    add_state(&settling->sql[SIDE_TARGET], position);
}

/* What the rows of a look say about one candidate; those without a row are not there. */
static struct sight sight_of(const struct rows *rows, int64_t hash)
{
    for (int row = 0; row < rows_count(rows); row++)
        if (rows_text(rows, row, 0) && rows_int(rows, row, 0) == hash)
            return (struct sight){
                .sum = {rows_int(rows, row, 1), checksum_parse(rows_text(rows, row, 2))},
                .version = checksum_parse(rows_text(rows, row, 3)),
                .is_touched = rows_bool(rows, row, 4),
            };
    return (struct sight){0};
}

/* Whoever writes to the table now: what he has committed may be in the stream before others see
 * it. Partitions are locked by themselves. */
static char *writers_sql(const struct table *table, const char *known)
{
    return quote_sql("SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_literal("
                     "   l.virtualtransaction), ',')"
                     " FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted"
                     " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
                     "                   WHERE datname = pg_catalog.current_database())"
                     " AND (l.relation = %u OR l.relation IN (SELECT relid"
                     "      FROM pg_catalog.pg_partition_tree(%u)))"
                     " AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock',"
                     "                'ExclusiveLock', 'AccessExclusiveLock')"
                     " AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"
                     " AND (%s)",
                     table->oid, table->oid, known);
}

static bool look_for_writers(struct settling *settling, char **ret_snapshot, struct err *err)
{
    const struct ground *ground = settling->ground;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *writers = writers_sql(ground->plan->tables[SIDE_SOURCE], "true");
    AUTO(str_free) char *sql = str_fmt("SELECT pg_catalog.pg_current_snapshot(), (%s)", writers);
    if (!conn_query(ground->pair->conns[SIDE_SOURCE], sql, &rows, err))
        return false;
    *ret_snapshot = str_dup(rows_text(rows, 0, 0));
    settling->is_quiet = !rows_text(rows, 0, 1);
    return true;
}

/* A view is whole when nobody was writing to the table, a moment after a snapshot that is still the
 * same: no transaction has ended since. One that the view does not see, although it committed
 * before another that the view does see, committed before that moment, and was still writing. */
static bool look_at_source(struct settling *settling, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *before = NULL;
    const struct ground *ground = settling->ground;
    struct conn *source = ground->pair->conns[SIDE_SOURCE];
    if (!look_for_writers(settling, &before, err) ||
        !conn_query(source, settling->sql[SIDE_SOURCE], &rows, err))
        return false;
    settling->view = (struct view){
        .has_key = ground->plan->key_count > 0,
        .sees_target = settling->all_visible,
        .is_whole = settling->is_quiet && strcmp(before, rows_text(rows, 0, 5)) == 0,
    };
    settling->view.sees_target |= settling->view.is_whole;
    for (size_t i = 0; i < settling->count; i++) {
        struct sight now = sight_of(rows, settling->candidates[i].finding.key);
        judge_source(&settling->candidates[i], &now, &settling->view);
    }
    return true;
}

static void take_target(struct settling *settling, const struct rows *rows, bool has_passed)
{
    for (size_t i = 0; i < settling->count; i++) {
        struct sight now = sight_of(rows, settling->candidates[i].finding.key);
        if (has_passed)
            judge_target(&settling->candidates[i], &now, &settling->view);
        else
            judge_glimpse(&settling->candidates[i], &now, &settling->view);
    }
}

/* The end of WAL is read behind the look at the source: a TRUNCATE that the look's snapshot does
 * not know, but its rows do, lies before it as well. */
static bool look_at_target(struct settling *settling, struct err *err)
{
    const struct ground *ground = settling->ground;
    struct passing passing = {0};
    if (!settling->keys && !follower_pass(ground->follower, err))
        return false;
    if (ground->follower->gave_up)
        return true;
    uint64_t passed = ground->follower->position;
    if (settling->keys && !passing_begin(ground->follower, &passing, err))
        return false;
    for (bool goes_on = true; goes_on;) {
        AUTO(rows_free) struct rows *rows = NULL;
        if (!conn_query(ground->pair->conns[SIDE_TARGET], settling->sql[SIDE_TARGET], &rows, err))
            return false;
        uint64_t position = rows_lsn(rows, 0, 5);
        if (position < passed && !settling->keys)
            return err_set(err, ERR_RETRY, "the target's position went back meanwhile");
        if (!passing_pause(ground->follower, &passing, position, &goes_on, err))
            return false;
        take_target(settling, rows, position >= passing.goal);
    }
    return true;
}

static bool await_writers(struct settling *settling, struct err *err)
{
    const struct ground *ground = settling->ground;
    const struct table *table = ground->plan->tables[SIDE_SOURCE];
    int64_t give_up_ms = clock_ms() + WRITERS_MS;
    AUTO(str_free) char *sql = writers_sql(table, "true");
    for (;;) {
        AUTO(str_free) char *writers = NULL;
        if (!conn_text(ground->pair->conns[SIDE_SOURCE], sql, &writers, err))
            return false;
        settling->all_visible = !writers;
        if (!writers || clock_ms() > give_up_ms)
            return true;
        AUTO(str_free) char *known = str_fmt("l.virtualtransaction IN (%s)", writers);
        str_set(&sql, writers_sql(table, known));
        if (stop_wait(ground->pair->stop, WRITERS_DELAY_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

static bool go_round(struct settling *settling, struct err *err)
{
    int rounds = 0;
    int64_t since_ms = clock_ms();
    for (prepare(settling); settling->open; rounds++) {
        size_t before = settling->open;
        if (rounds >= MIN_ROUNDS && clock_ms() - since_ms > PATIENCE_MS)
            return true;
        if (!look_at_source(settling, err) || !look_at_target(settling, err))
            return false;
        if (settling->ground->follower->gave_up)
            return true;
        if (!await_writers(settling, err))
            return false;
        prepare(settling);
        if (settling->open < before) {
            rounds = 0;
            since_ms = clock_ms();
        }
    }
    return true;
}

static enum difference_kind kind_of(const struct candidate *candidate)
{
    if (!candidate->last[SIDE_TARGET].sum.rows)
        return DIFFERENCE_MISSING;
    return candidate->last[SIDE_SOURCE].sum.rows ? DIFFERENCE_CHANGED : DIFFERENCE_EXTRA;
}

static int by_place(const void *left, const void *right)
{
    const struct finding *a = left;
    const struct finding *b = right;
    return (a->place > b->place) - (a->place < b->place);
}

static struct finding_list take_proven(const struct settling *settling)
{
    struct finding_list list = FINDING_LIST_INIT;
    list.items = mem_alloc((settling->count + 1) * sizeof(*list.items));
    for (size_t i = 0; i < settling->count; i++) {
        const struct candidate *candidate = &settling->candidates[i];
        if (candidate->verdict != VERDICT_DIFFERENT)
            continue;
        struct finding *finding = &list.items[list.count++];
        *finding = candidate->finding;
        if (!settling->ground->plan->key_count) {
            finding->source_value = candidate->last[SIDE_SOURCE].sum.rows;
            finding->target_value = candidate->last[SIDE_TARGET].sum.rows;
        } else
            finding->kind = kind_of(candidate);
    }
    if (list.count)
        qsort(list.items, list.count, sizeof(*list.items), by_place);
    return list;
}

static const char *reason_of(const struct settling *settling)
{
    if (settling->ground->follower->gave_up)
        return settling->ground->follower->gave_up;
    return settling->all_visible ? "they change all the time"
                                 : "a transaction that writes to the table does not end";
}

bool settle(const struct ground *ground, const struct finding *findings, size_t count,
            struct finding_list *ret_proven, struct unsettled *ret_unsettled, struct err *err)
{
    AUTO(settling_release)
    struct settling settling = {
        .ground = ground,
        .candidates = mem_alloc((count + 1) * sizeof(struct candidate)),
        .count = count,
    };
    for (size_t i = 0; i < count; i++)
        candidate_init(&settling.candidates[i], &findings[i]);
    sort_out(&settling);
    if (plan_can_seek(ground->plan) && !read_keys(&settling, err))
        return false;
    if (!go_round(&settling, err))
        return false;
    *ret_proven = take_proven(&settling);
    *ret_unsettled = (struct unsettled){count_open(&settling), reason_of(&settling)};
    return true;
}
