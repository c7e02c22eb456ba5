/* Applying a group by sets: its changes, folded by key, become a few statements a table.
 *
 * Invariant: what a group leaves on the target is what its changes would leave one by one. All of
 * it runs under a savepoint. A set that the server refuses (another unique index or an exclusion
 * constraint, for which the order matters), or that finds more or fewer rows than it has, takes
 * back everything to the savepoint, and the changes are applied in their order, which also names
 * the row at fault. So only what the sets leave when they succeed must be right: the deletes come
 * first, then the moves, updates and inserts, of all tables, and each row ends with the values
 * that its last change gives it.
 *
 * In their order, always: the whole group when a trigger or rule of one of its tables acts on what
 * is applied; a table without a key that has more than INSERTs; few changes. TRUNCATE, and a table
 * described anew, stand between sets. A table whose sets were refused is applied in order for some
 * groups, more each time. Under a policy for conflicts a row that came and went again is applied in
 * order as well: it may meet one that is there. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "change/fold.h"
#include "target/postgres/inside.h"

enum {
    SET_MIN = 8, /* changes of a table; fewer go as fast one by one */
    SET_ROWS = 2000,
    SET_BYTES = 1024 * 1024,
    REFUSALS_MAX = 8, /* then 256 groups go in order */
    FORGIVEN_MS = 60000,
};

/* The changes of one table between two barriers. */
struct bucket {
    uint32_t oid;
    struct bucket *next;
    struct destination *destination;
    const struct relation *relation;
    const struct change **changes; /* owned */
    size_t count, size;
    struct fold *fold; /* owned; NULL: to be applied in order */
    bool is_text;
    UT_hash_handle hh;
};

struct segment {
    struct postgres *pg;
    struct bucket *by_oid;
    struct bucket *first, *last;
    uint64_t folded;
    uint64_t rows;
};

static void segment_reset(struct segment *segment)
{
    HASH_CLEAR(hh, segment->by_oid);
    for (struct bucket *bucket = segment->first; bucket; bucket = bucket->next) {
        fold_free(&bucket->fold);
        free(bucket->changes);
    }
    segment->first = segment->last = NULL;
    arena_reset(segment->pg->arena);
}

/* --- what can be a set --- */

/* Notes the format of a row's values. False: there are both, or the row is so large that a copy of
 * it is too much. */
static bool take_format(struct bucket *bucket, const struct fold_row *row, bool *has_binary)
{
    size_t bytes = 0;
    for (size_t i = 0; i < bucket->relation->column_count; i++) {
        const bool is_key = row->old && bucket->destination->is_key[i];
        const struct value *values[] = {row->values ? &row->values[i] : NULL,
                                        is_key ? &row->old[i] : NULL};
        for (size_t j = 0; j < COUNT_OF(values); j++) {
            if (!values[j] || (values[j]->kind != VALUE_TEXT && values[j]->kind != VALUE_BINARY))
                continue;
            bytes += values[j]->len;
            if (values[j]->kind == VALUE_TEXT)
                bucket->is_text = true;
            else
                *has_binary = true;
        }
    }
    return bytes <= SET_BYTES && !(bucket->is_text && *has_binary);
}

static bool take_formats(struct bucket *bucket)
{
    bool has_binary = false;
    for (const struct fold_row *row = fold_first(bucket->fold); row; row = row->next)
        if (!take_format(bucket, row, &has_binary))
            return false;
    return true;
}

static bool has_vanished(const struct fold *fold)
{
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_NOTHING)
            return true;
    return false;
}

/* Tables that share one on the target (their root's) must not differ in this: the deletes of all
 * come before the inserts of any. */
static bool is_worth(const struct bucket *bucket)
{
    return bucket->count >= SET_MIN || bucket->destination->is_routed;
}

static bool has_only_inserts(const struct bucket *bucket)
{
    for (size_t i = 0; i < bucket->count; i++)
        if (bucket->changes[i]->kind != CHANGE_INSERT)
            return false;
    return true;
}

static void try_fold(struct segment *segment, struct bucket *bucket)
{
    struct destination *destination = bucket->destination;
    if (!destination->can_set || destination->ordered_left || !is_worth(bucket))
        return;
    /* The source had no two rows of one key: they need not be looked up. */
    bucket->fold = fold_new(segment->pg->arena, bucket->relation,
                            has_only_inserts(bucket) ? NULL : destination->is_key);
    bool is_good = true;
    for (size_t i = 0; i < bucket->count && is_good; i++)
        is_good = fold_add(bucket->fold, bucket->changes[i]);
    if (is_good && segment->pg->options.on_conflict != CONFLICT_ERROR)
        is_good = !has_vanished(bucket->fold);
    if (!is_good || !take_formats(bucket))
        fold_free(&bucket->fold);
}

/* --- sending --- */

struct set {
    struct segment *segment;
    struct bucket *bucket;
    enum set_kind kind;
    const bool *is_known; /* MOVE, UPDATE */
    const struct fold_row **rows;
    size_t count;
};

static bool send_rows(struct set *set, struct set_statement *statement, struct err *err)
{
    struct postgres *pg = set->segment->pg;
    bool has_old = set->kind == SET_MOVE;
    row_array_end(&pg->news);
    if (has_old)
        row_array_end(&pg->olds);
    const struct row_array *arrays[] = {&pg->news, &pg->olds};
    pg->params.count = has_old ? 2 : 1;
    for (size_t i = 0; i < pg->params.count; i++) {
        pg->params.data[i] = arrays[i]->bytes.data;
        pg->params.lengths[i] = (int)arrays[i]->bytes.len;
        pg->params.formats[i] = !set->bucket->is_text;
    }
    set->segment->rows += pg->news.count;
    return apply_send_set(pg, set->bucket->destination, statement, pg->news.count, err);
}

static void begin_rows(const struct set *set)
{
    struct postgres *pg = set->segment->pg;
    const struct bucket *bucket = set->bucket;
    row_array_begin(&pg->news, bucket->destination->row_type_oid, bucket->is_text);
    row_array_begin(&pg->olds, bucket->destination->row_type_oid, bucket->is_text);
}

static bool send_set(struct set *set, struct err *err)
{
    struct postgres *pg = set->segment->pg;
    struct destination *destination = set->bucket->destination;
    struct set_statement *statement = set_statement_find(pg, destination, set->kind, set->is_known);
    if (!statement->sql)
        return true;
    begin_rows(set);
    for (size_t i = 0; i < set->count; i++) {
        const struct fold_row *row = set->rows[i];
        if (set->kind == SET_DELETE)
            row_array_add(&pg->news, destination->row, destination->row_count, row->old,
                          destination->is_key);
        else
            row_array_add(&pg->news, destination->row, destination->row_count, row->values, NULL);
        if (set->kind == SET_MOVE)
            row_array_add(&pg->olds, destination->row, destination->row_count, row->old,
                          destination->is_key);
        if (pg->news.count < SET_ROWS && pg->news.bytes.len < SET_BYTES)
            continue;
        if (!send_rows(set, statement, err))
            return false;
        begin_rows(set);
    }
    return pg->news.count == 0 || send_rows(set, statement, err);
}

static void take_known(const struct bucket *bucket, const struct fold_row *row, bool *ret_known)
{
    for (size_t i = 0; i < bucket->relation->column_count; i++)
        ret_known[i] = row->values[i].kind != VALUE_UNCHANGED;
}

/* Rows that know the same columns go together: what an update leaves out as unchanged is never
 * written. */
static bool send_by_columns(struct set *set, struct err *err)
{
    size_t columns = set->bucket->relation->column_count;
    struct arena *arena = set->segment->pg->arena;
    const struct fold_row **left = set->rows;
    size_t left_count = set->count;
    const struct fold_row **alike = arena_alloc(arena, left_count * sizeof(*alike));
    bool *wanted = arena_alloc(arena, columns);
    bool *known = arena_alloc(arena, columns);
    while (left_count) {
        size_t kept = 0;
        size_t count = 0;
        take_known(set->bucket, left[0], wanted);
        for (size_t i = 0; i < left_count; i++) {
            take_known(set->bucket, left[i], known);
            if (memcmp(known, wanted, columns) == 0)
                alike[count++] = left[i];
            else
                left[kept++] = left[i];
        }
        left_count = kept;
        struct set part = *set;
        part.is_known = wanted;
        part.rows = alike;
        part.count = count;
        if (!send_set(&part, err))
            return false;
    }
    return true;
}

/* In the order of their keys neighbours find each other's pages in the caches. But a value of
 * another unique index may go from row to row: such updates keep the order of the source. */
static bool send_kind(struct segment *segment, struct bucket *bucket, enum fold_kind wanted,
                      enum set_kind kind, struct err *err)
{
    struct set set = {.segment = segment, .bucket = bucket, .kind = kind};
    bool by_key = kind != SET_UPDATE || !bucket->destination->has_other_unique;
    set.count = fold_take(bucket->fold, wanted, by_key, &set.rows);
    if (set.count == 0)
        return true;
    return kind == SET_DELETE || kind == SET_INSERT ? send_set(&set, err)
                                                    : send_by_columns(&set, err);
}

static bool send_sets(struct segment *segment, struct err *err)
{
    static const struct {
        enum fold_kind fold;
        enum set_kind set;
    } kinds[] = {{FOLD_DELETE, SET_DELETE},
                 {FOLD_MOVE, SET_MOVE},
                 {FOLD_UPDATE, SET_UPDATE},
                 {FOLD_INSERT, SET_INSERT}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        for (struct bucket *bucket = segment->first; bucket; bucket = bucket->next)
            if (bucket->fold && !send_kind(segment, bucket, kinds[i].fold, kinds[i].set, err))
                return false;
    return true;
}

static bool send_ordered(struct segment *segment, const struct bucket *bucket, struct err *err)
{
    for (size_t i = 0; i < bucket->count; i++)
        if (!apply_send_change(segment->pg, bucket->changes[i], err))
            return false;
    return true;
}

/* What is gathered goes out. */
static bool flush(struct segment *segment, struct err *err)
{
    uint64_t rows = segment->rows;
    size_t changes = 0;
    for (struct bucket *bucket = segment->first; bucket; bucket = bucket->next) {
        try_fold(segment, bucket);
        if (!bucket->fold && !send_ordered(segment, bucket, err))
            return false;
        changes += bucket->fold ? bucket->count : 0;
    }
    if (!send_sets(segment, err))
        return false;
    segment->folded += changes - (segment->rows - rows);
    segment_reset(segment);
    return true;
}

/* --- gathering --- */

static bool find_bucket(struct segment *segment, const struct change *change,
                        struct bucket **ret_bucket, struct err *err)
{
    const struct relation *relation = change->relation;
    struct bucket *bucket = NULL;
    HASH_FIND(hh, segment->by_oid, &relation->oid, sizeof(uint32_t), bucket);
    if (bucket && bucket->relation != relation) { /* described anew: a barrier */
        if (!flush(segment, err))
            return false;
        bucket = NULL;
    }
    if (!bucket) {
        bucket = arena_alloc(segment->pg->arena, sizeof(*bucket));
        bucket->oid = relation->oid;
        bucket->relation = relation;
        if (!destination_find(segment->pg, relation, &bucket->destination, err))
            return false;
        HASH_ADD(hh, segment->by_oid, oid, sizeof(uint32_t), bucket);
        if (segment->last)
            segment->last->next = bucket;
        else
            segment->first = bucket;
        segment->last = bucket;
    }
    *ret_bucket = bucket;
    return true;
}

static bool gather(struct segment *segment, const struct change *change, struct err *err)
{
    struct bucket *bucket = NULL;
    if (change->kind == CHANGE_TRUNCATE)
        return flush(segment, err) && apply_send_change(segment->pg, change, err);
    if (!find_bucket(segment, change, &bucket, err))
        return false;
    if (bucket->count == bucket->size) {
        bucket->size = MAX_OF(bucket->size * 2, (size_t)64);
        bucket->changes = mem_resize(bucket->changes, bucket->size, sizeof(*bucket->changes));
    }
    bucket->changes[bucket->count++] = change;
    return true;
}

/* --- the group --- */

bool sets_begin(struct postgres *pg, const struct group *group, bool *ret_is_wanted,
                struct err *err)
{
    const struct relation *last = NULL;
    bool may_wish = pg->options.apply_mode != APPLY_ORDERED && group->count >= SET_MIN;
    int64_t group_ms = clock_ms();
    *ret_is_wanted = false;
    if (!may_wish && !pg->options.is_ahead)
        return true;
    for (size_t i = 0; i < group->count; i++) {
        struct destination *destination = NULL;
        const struct relation *relation = group->changes[i]->relation;
        if (!relation || relation == last)
            continue;
        last = relation;
        if (!destination_refresh(pg, relation, group_ms, &destination, err))
            return false;
        if (destination->has_triggers && pg->options.is_ahead)
            return err_set(err, ERR_RETRY, "%s has triggers or rules that act on what is applied",
                           destination->label);
        if (destination->has_triggers)
            return true;
    }
    *ret_is_wanted = may_wish;
    return true;
}

/* A group less to wait for the tables that are applied in order. */
static void note_done(struct postgres *pg)
{
    struct destination *destination, *next;
    HASH_ITER (hh, pg->destinations, destination, next) {
        if (destination->ordered_left)
            destination->ordered_left--;
    }
}

static bool take_back(struct postgres *pg, struct err *err)
{
    struct destination *destination = pg->refused;
    int64_t now_ms = clock_ms();
    if (now_ms - destination->refused_ms > FORGIVEN_MS)
        destination->refusals = 0;
    destination->refused_ms = now_ms;
    destination->refusals = MIN_OF(destination->refusals + 1, (unsigned)REFUSALS_MAX);
    destination->ordered_left = 1U << destination->refusals;
    memcpy(pg->collisions, pg->collisions_before, sizeof(pg->collisions));
    metrics_add(pg->options.metrics, METRIC_ORDERED_FALLBACKS, 1);
    log_debug("%s: a set was refused; the group is applied change by change, the table for %u "
              "groups",
              destination->label, destination->ordered_left);
    return apply_recover(pg, err) && apply_send_sql(pg, "ROLLBACK TO SAVEPOINT sets", err) &&
           apply_send_sql(pg, "RELEASE SAVEPOINT sets", err) && apply_drain(pg, err);
}

bool sets_apply(struct postgres *pg, const struct group *group, bool *ret_is_refused,
                struct err *err)
{
    struct segment segment = {.pg = pg};
    pg->refused = NULL;
    pg->is_by_sets = true;
    memcpy(pg->collisions_before, pg->collisions, sizeof(pg->collisions));
    *ret_is_refused = false;
    bool is_good = apply_send_sql(pg, "SAVEPOINT sets", err);
    for (size_t i = 0; i < group->count && is_good && !pg->refused; i++)
        is_good = gather(&segment, group->changes[i], err);
    is_good = is_good && (pg->refused || flush(&segment, err)) && apply_drain(pg, err);
    segment_reset(&segment);
    pg->is_by_sets = false;
    if (!is_good)
        return false;
    if (pg->refused) {
        *ret_is_refused = true;
        return take_back(pg, err);
    }
    note_done(pg);
    metrics_add(pg->options.metrics, METRIC_SET_ROWS, segment.rows);
    metrics_add(pg->options.metrics, METRIC_FOLDED_CHANGES, segment.folded);
    return apply_send_sql(pg, "RELEASE SAVEPOINT sets", err);
}
