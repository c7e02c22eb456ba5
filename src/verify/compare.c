/* One table against its copy: see compare.h.
 *
 * One scan on each side gives counts and checksums; of a large table for each of its key ranges, or
 * of the lots (without a key) or parts (a text as key) that a hash divides it into. What differs is
 * read row by row, as hashes of key and row; what still has too many rows is first divided by the
 * key's hash, so that never more than about MAX_ENTRIES rows are in memory. Of the first keys that
 * differ the servers are then asked for key, columns and place.
 *
 * At rest all this is read in one snapshot of each side. While an engine follows the source, every
 * step takes new snapshots, rows that differ are handed to settle(), and only what it has proven is
 * a difference. What was equal in any two snapshots is equal: see judge.c. (In a table without a
 * key, a row too many could hide from that behind a change of a row just like it that only one of
 * the two snapshots shows. Run again; it will not for ever.) */
#include "verify/compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "verify/plan.h"
#include "verify/settle.h"

enum {
    MAX_ENTRIES = 50000,
    PART_ROWS = 20000,
    PART_BYTES = PART_ROWS * 40, /* of a table whose rows have not been counted */
    MAX_PARTS = 65536,
    LARGE_BYTES = 256 * 1024, /* without TOAST: not worth dividing below */
    MAX_ATTEMPTS = 4,
};

struct work {
    struct pair *pair;
    struct plan plan;
    struct follower *follower; /* borrowed */
    struct comparison *result;
    struct rows *images[SIDES]; /* owned; without a key: what find() has read last */
    uint32_t lots;              /* the first sums are of so many lots; */
    uint32_t parts;             /* of so many parts by hash; both 0: of ranges */
    bool follows;               /* an engine is at work */
};

static void work_release(struct work *work)
{
    plan_release(&work->plan);
    pair_rows_free(&work->images);
}

/* Sums by part, dense: parts that no row is in stay 0. */
struct sums {
    struct part_sum *items[SIDES]; /* owned */
    size_t count;
};

static void sums_release(struct sums *sums)
{
    for (int side = 0; side < SIDES; side++)
        free(sums->items[side]);
    *sums = (struct sums){0};
}

static bool sums_differ(const struct sums *sums, size_t part)
{
    return !part_sum_equal(&sums->items[SIDE_SOURCE][part], &sums->items[SIDE_TARGET][part]);
}

static int64_t sums_rows(const struct sums *sums, size_t part)
{
    return MAX_OF(sums->items[SIDE_SOURCE][part].rows, sums->items[SIDE_TARGET][part].rows);
}

static bool sums_read(struct work *work, const char *source_sql, const char *target_sql,
                      size_t count, struct sums *ret_sums, struct err *err)
{
    AUTO(pair_rows_free) struct rows *rows[SIDES] = {NULL};
    if (!pair_query(work->pair, source_sql, target_sql, rows, err))
        return false;
    ret_sums->count = count;
    for (int side = 0; side < SIDES; side++) {
        struct part_sum *items = mem_alloc(count * sizeof(*items));
        ret_sums->items[side] = items;
        for (int row = 0; row < rows_count(rows[side]); row++) {
            size_t part = (size_t)rows_int(rows[side], row, 0);
            if (part >= count)
                return err_set(err, ERR_FATAL, "a server counted a part that does not exist");
            items[part] = (struct part_sum){
                .rows = rows_int(rows[side], row, 1),
                .sum = checksum_parse(rows_text(rows[side], row, 2)),
            };
        }
    }
    return true;
}

static struct entry *entries_read(const struct rows *rows, size_t *ret_count)
{
    size_t count = (size_t)rows_count(rows);
    struct entry *entries = mem_alloc((count + 1) * sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){
            .key = rows_int(rows, (int)i, 0),
            .value = rows_int(rows, (int)i, 1),
            .place = (uint32_t)i,
        };
    *ret_count = count;
    return entries;
}

static bool find(struct work *work, const struct scope *scope, struct finding_list *ret_findings,
                 struct err *err)
{
    AUTO(pair_rows_free) struct rows *rows[SIDES] = {NULL};
    AUTO(str_free) char *source_sql = plan_rows_sql(&work->plan, SIDE_SOURCE, scope);
    AUTO(str_free) char *target_sql = plan_rows_sql(&work->plan, SIDE_TARGET, scope);
    if (!pair_query(work->pair, source_sql, target_sql, rows, err))
        return false;
    size_t counts[SIDES] = {0};
    struct entry *source = entries_read(rows[SIDE_SOURCE], &counts[SIDE_SOURCE]);
    struct entry *target = entries_read(rows[SIDE_TARGET], &counts[SIDE_TARGET]);
    entries_compare(source, counts[SIDE_SOURCE], target, counts[SIDE_TARGET], ret_findings);
    free(source);
    free(target);
    pair_rows_free(&work->images);
    for (int side = 0; side < SIDES && !work->plan.key_count; side++)
        work->images[side] = TAKE(rows[side]);
    return true;
}

/* The row that describes the key with this hash, or -1. */
static int described(const struct rows *rows, int64_t hash)
{
    for (int row = 0; row < rows_count(rows); row++)
        if (rows_int(rows, row, 0) == hash)
            return row;
    return -1;
}

/* Compares "{1,2,3}" with "{1,5,3}", a hash for each column of the source. */
static void name_columns(struct difference *difference, const struct table *table, const char *a,
                         const char *b)
{
    for (size_t i = 0; i < table->column_count; i++) {
        a += 1; /* the brace or the comma */
        b += 1;
        size_t a_len = strcspn(a, ",}");
        size_t b_len = strcspn(b, ",}");
        if (a_len != b_len || memcmp(a, b, a_len) != 0)
            strv_add(&difference->columns, table->columns[i].name);
        a += a_len;
        b += b_len;
    }
}

static void describe_keyed(struct difference *difference, const struct work *work,
                           struct rows *const rows[SIDES])
{
    int places[SIDES] = {described(rows[SIDE_SOURCE], difference->hash),
                         described(rows[SIDE_TARGET], difference->hash)};
    enum side side = difference->kind == DIFFERENCE_EXTRA ? SIDE_TARGET : SIDE_SOURCE;
    for (size_t i = 0; i < work->plan.key_count && places[side] >= 0; i++) {
        const char *value = rows_text(rows[side], places[side], (int)i + 2);
        strv_add(&difference->key, value ? value : "");
    }
    if (difference->kind == DIFFERENCE_CHANGED && places[SIDE_SOURCE] >= 0 &&
        places[SIDE_TARGET] >= 0)
        name_columns(difference, work->plan.tables[SIDE_SOURCE],
                     rows_text(rows[SIDE_SOURCE], places[SIDE_SOURCE], 1),
                     rows_text(rows[SIDE_TARGET], places[SIDE_TARGET], 1));
}

/* The last column of the rows is the place of one of them. */
static void describe_image(struct difference *difference, const struct finding *finding,
                           struct rows *const rows[SIDES])
{
    difference->source_count = finding->source_value;
    difference->target_count = finding->target_value;
    enum side side = finding->source_value > finding->target_value ? SIDE_SOURCE : SIDE_TARGET;
    int place = described(rows[side], finding->key);
    if (place >= 0)
        difference->ctid = str_dup(rows_text(rows[side], place, rows_columns(rows[side]) - 1));
}

/* At rest the rows without a key that were read tell their places: another reading of the whole
 * table is spared. */
static bool ask(struct work *work, const struct scope *scope, const char *hashes,
                struct rows *ret_rows[SIDES], struct err *err)
{
    if (!work->plan.key_count && !work->follows) {
        for (int side = 0; side < SIDES; side++)
            ret_rows[side] = TAKE(work->images[side]);
        return true;
    }
    AUTO(str_free)
    char *source = plan_describe_sql(&work->plan, SIDE_SOURCE, scope, hashes);
    AUTO(str_free)
    char *target = plan_describe_sql(&work->plan, SIDE_TARGET, scope, hashes);
    return pair_query(work->pair, source, target, ret_rows, err);
}

/* Names the first findings, as many as the result still has room for. */
static bool describe(struct work *work, const struct scope *scope,
                     const struct finding_list *findings, struct err *err)
{
    struct comparison *result = work->result;
    size_t room = MAX_DIFFERENCES - result->difference_count;
    size_t count = MIN_OF(room, findings->count);
    result->has_more |= findings->count > room;
    AUTO(buf_release) struct buf hashes = BUF_INIT;
    for (size_t i = 0; i < count; i++)
        buf_fmt(&hashes, i ? ", %" PRId64 : "%" PRId64, findings->items[i].key);
    if (!count)
        return true;
    AUTO(pair_rows_free) struct rows *rows[SIDES] = {NULL};
    if (!ask(work, scope, buf_text(&hashes), rows, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct difference *difference = &result->differences[result->difference_count++];
        difference->kind = findings->items[i].kind;
        difference->hash = findings->items[i].key;
        if (work->plan.key_count)
            describe_keyed(difference, work, rows);
        else
            describe_image(difference, &findings->items[i], rows);
    }
    return true;
}

static bool is_full(const struct work *work)
{
    return work->result->difference_count == MAX_DIFFERENCES;
}

/* Nothing more can be said. Call it when something would follow. */
static bool is_over(struct work *work)
{
    if (!is_full(work) && !work->follower->gave_up)
        return false;
    work->result->has_more = true;
    return true;
}

/* New snapshots, while the sides are written to. */
static bool refresh(struct work *work, struct err *err)
{
    return !work->follows || (pair_end(work->pair, err) && pair_begin(work->pair, err));
}

/* Many rows that differ are a target that is behind: let it come, then read again. */
static bool find_few(struct work *work, const struct scope *scope,
                     struct finding_list *ret_findings, struct err *err)
{
    for (int attempt = 1;; attempt++) {
        AUTO(finding_list_release) struct finding_list findings = FINDING_LIST_INIT;
        if (!refresh(work, err) || !find(work, scope, &findings, err))
            return false;
        if (!work->follows || findings.count <= SETTLE_ROWS || attempt == MAX_ATTEMPTS) {
            *ret_findings = findings;
            findings = FINDING_LIST_INIT;
            return true;
        }
        if (!pair_end(work->pair, err) || !follower_pass(work->follower, err))
            return false;
        if (work->follower->gave_up)
            attempt = MAX_ATTEMPTS - 1; /* once more, to count them */
    }
}

static void note_unsettled(struct work *work, const struct unsettled *unsettled)
{
    struct comparison *result = work->result;
    result->unsettled += (int64_t)unsettled->count;
    if (unsettled->count && !result->reason)
        result->reason = str_dup(unsettled->reason);
}

static bool settle_findings(struct work *work, const struct scope *scope,
                            const struct finding_list *findings, struct err *err)
{
    struct ground ground = {work->pair, work->follower, &work->plan, scope};
    work->result->is_settled = true;
    if (!pair_end(work->pair, err))
        return false;
    struct unsettled all = {findings->count, work->follower->gave_up};
    if (work->follower->gave_up)
        note_unsettled(work, &all);
    for (size_t from = 0; from < findings->count; from += SETTLE_ROWS) {
        AUTO(finding_list_release) struct finding_list proven = FINDING_LIST_INIT;
        size_t count = MIN_OF(findings->count - from, (size_t)SETTLE_ROWS);
        struct unsettled unsettled = {0};
        if (is_over(work))
            return true;
        if (!settle(&ground, &findings->items[from], count, &proven, &unsettled, err) ||
            !describe(work, scope, &proven, err))
            return false;
        note_unsettled(work, &unsettled);
    }
    return true;
}

static bool examine(struct work *work, const struct scope *scope, struct err *err)
{
    AUTO(finding_list_release) struct finding_list findings = FINDING_LIST_INIT;
    if (!find_few(work, scope, &findings, err))
        return false;
    return work->follows ? settle_findings(work, scope, &findings, err)
                         : describe(work, scope, &findings, err);
}

/* Takes parts that differ, from *part on, up to MAX_ENTRIES rows but at least one. Their rows. */
static int64_t choose_parts(const struct sums *sums, size_t *part, struct buf *chosen)
{
    int64_t rows = 0;
    buf_reset(chosen);
    for (; *part < sums->count; (*part)++) {
        if (!sums_differ(sums, *part))
            continue;
        if (chosen->len && rows + sums_rows(sums, *part) > MAX_ENTRIES)
            break;
        rows += sums_rows(sums, *part);
        buf_fmt(chosen, chosen->len ? ",%zu" : "%zu", *part);
    }
    return rows;
}

static bool examine_chosen(struct work *work, struct scope *scope, const struct sums *sums,
                           struct err *err)
{
    AUTO(buf_release) struct buf chosen = BUF_INIT;
    size_t part = 0;
    while (choose_parts(sums, &part, &chosen) > 0) {
        if (is_over(work))
            break;
        scope->chosen = buf_text(&chosen);
        if (!examine(work, scope, err))
            return false;
    }
    return true;
}

static bool read_parts(struct work *work, const struct scope *scope, struct sums *ret_sums,
                       struct err *err)
{
    AUTO(str_free) char *source_sql = plan_parts_sql(&work->plan, SIDE_SOURCE, scope);
    AUTO(str_free) char *target_sql = plan_parts_sql(&work->plan, SIDE_TARGET, scope);
    return sums_read(work, source_sql, target_sql, scope->parts, ret_sums, err);
}

/* Ranges of too many rows: divided by the hash of the key, which spreads any key evenly. */
static bool examine_ranges(struct work *work, struct scope scope, int64_t rows, struct err *err)
{
    AUTO(sums_release) struct sums sums = {0};
    if (rows <= MAX_ENTRIES)
        return examine(work, &scope, err);
    scope.parts = (uint32_t)MIN_OF(rows / PART_ROWS + 1, (int64_t)MAX_PARTS);
    return refresh(work, err) && read_parts(work, &scope, &sums, err) &&
           examine_chosen(work, &scope, &sums, err);
}

/* Rows that have nothing to tell them apart cheaply may all be in one lot. */
static bool examine_lots(struct work *work, const struct sums *sums, struct err *err)
{
    AUTO(buf_release) struct buf chosen = BUF_INIT;
    struct scope scope = {.lots = work->lots};
    size_t lot = 0;
    for (int64_t rows; (rows = choose_parts(sums, &lot, &chosen)) > 0;) {
        if (is_over(work))
            break;
        scope.chosen_lots = buf_text(&chosen);
        if (!examine_ranges(work, scope, rows, err))
            return false;
    }
    return true;
}

static bool read_bounds(struct work *work, struct err *err)
{
    AUTO(str_free) char *sql = plan_bounds_sql(&work->plan);
    AUTO(rows_free) struct rows *rows = NULL;
    if (!sql)
        return true;
    if (!conn_query(work->pair->conns[SIDE_SOURCE], sql, &rows, err))
        return false;
    for (int row = 0; row < rows_count(rows); row++)
        if (rows_text(rows, row, 0))
            strv_add(&work->plan.bounds, rows_text(rows, row, 0));
    return true;
}

static bool read_lots(struct work *work, struct sums *ret_sums, struct err *err)
{
    AUTO(str_free) char *source = plan_lots_sql(&work->plan, SIDE_SOURCE, work->lots);
    AUTO(str_free) char *target = plan_lots_sql(&work->plan, SIDE_TARGET, work->lots);
    return sums_read(work, source, target, work->lots, ret_sums, err);
}

static bool read_ranges(struct work *work, struct sums *ret_sums, struct err *err)
{
    bool is_divided = work->plan.bounds.count > 0;
    enum side a = SIDE_SOURCE;
    enum side b = SIDE_TARGET;
    AUTO(str_free)
    char *source = is_divided ? plan_ranges_sql(&work->plan, a) : plan_total_sql(&work->plan, a);
    AUTO(str_free)
    char *target = is_divided ? plan_ranges_sql(&work->plan, b) : plan_total_sql(&work->plan, b);
    return sums_read(work, source, target, work->plan.bounds.count + 1, ret_sums, err);
}

/* How the table is divided. */
static bool divide(struct work *work, struct err *err)
{
    int64_t bytes = work->plan.tables[SIDE_SOURCE]->bytes;
    uint32_t parts = (uint32_t)MIN_OF(bytes / PART_BYTES + 1, (int64_t)MAX_PARTS);
    if (bytes < LARGE_BYTES)
        return true;
    if (!read_bounds(work, err))
        return false;
    if (work->plan.lot)
        work->lots = parts;
    else if (!work->plan.bounds.count)
        work->parts = parts;
    return true;
}

static bool read_divided(struct work *work, struct sums *ret_sums, struct err *err)
{
    struct scope scope = {.parts = work->parts};
    if (work->lots)
        return read_lots(work, ret_sums, err);
    return work->parts ? read_parts(work, &scope, ret_sums, err) : read_ranges(work, ret_sums, err);
}

/* The one reading of the whole table. */
static bool read_sums(struct work *work, struct sums *ret_sums, struct err *err)
{
    if (!divide(work, err) || !pair_begin(work->pair, err) || !read_divided(work, ret_sums, err))
        return false;
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < ret_sums->count; i++) {
            work->result->sums[side].rows += ret_sums->items[side][i].rows;
            work->result->sums[side].sum += ret_sums->items[side][i].sum;
        }
    return true;
}

/* Neighbouring ranges that differ are taken together, up to MAX_ENTRIES rows. */
static bool examine_all(struct work *work, const struct sums *sums, struct err *err)
{
    size_t i = 0;
    while (i < sums->count) {
        struct scope scope = {.first = i, .last = i};
        if (!sums_differ(sums, i++))
            continue;
        int64_t rows = sums_rows(sums, i - 1);
        for (; i < sums->count && sums_differ(sums, i) && rows + sums_rows(sums, i) <= MAX_ENTRIES;
             i++) {
            rows += sums_rows(sums, i);
            scope.last = i;
        }
        if (is_over(work))
            return true;
        if (!examine_ranges(work, scope, rows, err))
            return false;
    }
    return true;
}

/* At rest what was read differs, whatever can still be named. */
static void conclude(struct work *work)
{
    struct comparison *result = work->result;
    if (!work->follows || result->difference_count)
        result->outcome = OUTCOME_DIFFERENT;
    else
        result->outcome = result->unsettled ? OUTCOME_UNSETTLED : OUTCOME_EQUAL;
}

static bool compare_rows(struct work *work, struct err *err)
{
    AUTO(sums_release) struct sums sums = {0};
    if (!read_sums(work, &sums, err))
        return false;
    bool differs = false;
    for (size_t i = 0; i < sums.count; i++)
        differs |= sums_differ(&sums, i);
    if (!differs)
        return true;
    const char *lack = NULL;
    if (!follower_look(work->follower, work->plan.tables[SIDE_SOURCE]->oid, &work->follows, &lack,
                       err))
        return false;
    if (lack) {
        work->result->reason = str_dup(lack);
        work->result->outcome = OUTCOME_UNSETTLED;
        return true;
    }
    struct scope scope = {.parts = work->parts};
    if (!(work->lots    ? examine_lots(work, &sums, err)
          : work->parts ? examine_chosen(work, &scope, &sums, err)
                        : examine_all(work, &sums, err)))
        return false;
    conclude(work);
    return true;
}

/* Dropped or altered since the catalog was read: a result, not a failure. */
static bool take_altered(struct pair *pair, struct comparison *result, struct err *err)
{
    if (!pair_is_altered(err) || conn_is_lost(pair->conns[SIDE_SOURCE]) ||
        conn_is_lost(pair->conns[SIDE_TARGET]))
        return false;
    str_set(&result->reason, str_fmt("it is not what it was when verify began (%s)", err->text));
    result->outcome = result->difference_count ? OUTCOME_DIFFERENT : OUTCOME_UNSETTLED;
    return pair_end(pair, err);
}

static bool find_missing_columns(const struct table *source, const struct table *target,
                                 struct strv *ret_names)
{
    for (size_t i = 0; i < source->column_count; i++)
        if (!table_column(target, source->columns[i].name))
            strv_add(ret_names, source->columns[i].name);
    return ret_names->count > 0;
}

bool compare_table(struct pair *pair, struct follower *follower, const struct table *source,
                   const struct table *target, struct comparison *ret_result, struct err *err)
{
    const char *parked = NULL;
    *ret_result = (struct comparison){.table = source};
    if (!follower_parked(follower, source->oid, &parked, err))
        return false;
    if (parked) {
        ret_result->reason = str_dup(parked);
        ret_result->outcome = OUTCOME_UNSETTLED;
        return true;
    }
    if (!target) {
        ret_result->outcome = OUTCOME_NO_TABLE;
        return true;
    }
    if (find_missing_columns(source, target, &ret_result->missing_columns)) {
        ret_result->outcome = OUTCOME_NO_COLUMN;
        return true;
    }
    if (source->kind == 'p')
        return true; /* its rows are in its partitions */
    AUTO(work_release)
    struct work work = {.pair = pair, .follower = follower, .result = ret_result};
    plan_init(&work.plan, source, target, pair->recodes);
    for (size_t i = 0; i < work.plan.key_count; i++)
        strv_add(&ret_result->key, work.plan.key[i]->name);
    if (compare_rows(&work, err) ? pair_end(pair, err) : take_altered(pair, ret_result, err))
        return true;
    return err_wrap(err, "could not compare %s.%s", source->schema, source->name);
}

void comparison_release(struct comparison *comparison)
{
    for (size_t i = 0; i < comparison->difference_count; i++) {
        strv_release(&comparison->differences[i].key);
        strv_release(&comparison->differences[i].columns);
        free(comparison->differences[i].ctid);
    }
    free(comparison->reason);
    strv_release(&comparison->key);
    strv_release(&comparison->missing_columns);
    *comparison = COMPARISON_INIT;
}
