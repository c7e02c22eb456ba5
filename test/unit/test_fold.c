/* Tests of src/change/fold: what the fold says is what the changes do, one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "change/fold.h"

enum { KEYS = 6, COLUMNS = 3, ROUNDS = 3000, CHANGES_MAX = 40 };

/* A table of one key column and two others; the second may stay unchanged. */
struct model {
    bool is_there[KEYS];
    int values[KEYS][2];
};

static const bool is_key[COLUMNS] = {true, false, false};

static struct relation *make_relation(void)
{
    const struct relation_column columns[COLUMNS] = {
        {.name = (char[]){"id"}, .type_oid = 23, .typmod = -1, .is_key = true},
        {.name = (char[]){"a"}, .type_oid = 23, .typmod = -1},
        {.name = (char[]){"b"}, .type_oid = 25, .typmod = -1},
    };
    return relation_new(7, "public", "t", 'd', COLUMNS, columns);
}

static struct value number(struct arena *arena, int n)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", n);
    return (struct value){arena_copy(arena, text, (size_t)len), (uint32_t)len, VALUE_TEXT};
}

static struct tuple row_of(struct arena *arena, int key, const int *values)
{
    struct value *v = arena_alloc(arena, COLUMNS * sizeof(*v));
    v[0] = number(arena, key);
    v[1] = values ? number(arena, values[0]) : (struct value){.kind = VALUE_NULL};
    v[2] = values ? number(arena, values[1]) : (struct value){.kind = VALUE_NULL};
    return (struct tuple){COLUMNS, v};
}

static int pick(struct model *model, bool is_there)
{
    int start = rand() % KEYS;
    for (int i = 0; i < KEYS; i++)
        if (model->is_there[(start + i) % KEYS] == is_there)
            return (start + i) % KEYS;
    return -1;
}

static void make_update(struct arena *arena, struct model *model, int from, struct change *change)
{
    int to = rand() % 3 ? from : pick(model, false);
    to = to < 0 ? from : to;
    int values[2] = {rand() % 100, rand() % 2 ? model->values[from][1] : rand() % 100};
    change->kind = CHANGE_UPDATE;
    change->new = row_of(arena, to, values);
    if (values[1] == model->values[from][1])
        change->new.values[2].kind = VALUE_UNCHANGED;
    if (to != from || rand() % 4 == 0) {
        change->old_kind = rand() % 2 ? OLD_KEY : OLD_FULL;
        change->old =
            row_of(arena, from, change->old_kind == OLD_FULL ? model->values[from] : NULL);
    }
    model->is_there[from] = false;
    model->is_there[to] = true;
    memcpy(model->values[to], values, sizeof(values));
}

/* A change that fits the table, done to the model. */
static struct change *make_change(struct arena *arena, struct model *model)
{
    struct change *change = arena_alloc(arena, sizeof(*change));
    int there = pick(model, true);
    int absent = pick(model, false);
    int die = rand() % 10;
    if (there >= 0 && die < 5) {
        make_update(arena, model, there, change);
    } else if (there >= 0 && (die < 7 || absent < 0)) {
        change->kind = CHANGE_DELETE;
        change->old_kind = OLD_KEY;
        change->old = row_of(arena, there, NULL);
        model->is_there[there] = false;
    } else {
        int values[2] = {rand() % 100, rand() % 100};
        change->kind = CHANGE_INSERT;
        change->new = row_of(arena, absent, values);
        model->is_there[absent] = true;
        memcpy(model->values[absent], values, sizeof(values));
    }
    return change;
}

static int read_number(const struct value *value)
{
    char text[16] = {0};
    memcpy(text, value->data, value->len);
    return (int)strtol(text, NULL, 10);
}

static void put_row(struct model *model, const struct fold_row *row, const int *before)
{
    int key = read_number(&row->values[0]);
    assert_false(model->is_there[key]);
    model->is_there[key] = true;
    for (int i = 0; i < 2; i++) {
        const struct value *value = &row->values[i + 1];
        if (value->kind == VALUE_UNCHANGED)
            assert_non_null(before);
        model->values[key][i] = value->kind == VALUE_UNCHANGED ? before[i] : read_number(value);
    }
}

static void take_out(struct model *model, const struct fold_row *row, int *ret_values)
{
    int key = read_number(&row->old[0]);
    assert_true(model->is_there[key]);
    model->is_there[key] = false;
    memcpy(ret_values, model->values[key], sizeof(model->values[key]));
}

/* In the order that fold.h promises for: deletes, moves, updates, inserts. */
static void do_fold(const struct fold *fold, struct model *model)
{
    int before[CHANGES_MAX][2];
    int moved = 0;
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_DELETE)
            take_out(model, row, before[0]);
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_MOVE)
            take_out(model, row, before[moved++]);
    moved = 0;
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_MOVE)
            put_row(model, row, before[moved++]);
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_UPDATE) {
            take_out(model, row, before[0]);
            put_row(model, row, before[0]);
        }
    for (const struct fold_row *row = fold_first(fold); row; row = row->next)
        if (fold_kind_of(row) == FOLD_INSERT)
            put_row(model, row, NULL);
}

static void a_fold_does_what_its_changes_do(void **state)
{
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        struct model model = {0};
        for (int key = 0; key < KEYS; key++) {
            model.is_there[key] = rand() % 2;
            model.values[key][0] = model.values[key][1] = key;
        }
        struct model folded = model;
        AUTO(fold_free) struct fold *fold = fold_new(arena, relation, is_key);
        for (int i = rand() % CHANGES_MAX; i > 0; i--)
            assert_true(fold_add(fold, make_change(arena, &model)));
        do_fold(fold, &folded);
        for (int key = 0; key < KEYS; key++) {
            assert_int_equal(folded.is_there[key], model.is_there[key]);
            if (model.is_there[key])
                assert_memory_equal(folded.values[key], model.values[key],
                                    sizeof(model.values[key]));
        }
        fold_free(&fold);
        arena_reset(arena);
    }
}

static void a_row_that_came_and_went_leaves_nothing(void **state)
{
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(fold_free) struct fold *fold = fold_new(arena, relation, is_key);
    struct change come = {.kind = CHANGE_INSERT, .new = row_of(arena, 1, (int[]){2, 3})};
    struct change go = {.kind = CHANGE_DELETE, .old_kind = OLD_KEY, .old = row_of(arena, 1, NULL)};
    assert_true(fold_add(fold, &come));
    assert_true(fold_add(fold, &go));
    assert_true(fold_add(fold, &come));
    assert_int_equal(fold_kind_of(fold_first(fold)), FOLD_NOTHING);
    assert_int_equal(fold_kind_of(fold_first(fold)->next), FOLD_INSERT);
}

static void what_cannot_be_told_is_refused(void **state)
{
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(fold_free) struct fold *fold = fold_new(arena, relation, is_key);
    struct change one = {.kind = CHANGE_INSERT, .new = row_of(arena, 1, (int[]){2, 3})};
    struct change partial = {.kind = CHANGE_INSERT, .new = row_of(arena, 2, (int[]){2, 3})};
    struct change keyless = {.kind = CHANGE_UPDATE, .new = row_of(arena, 3, (int[]){2, 3})};
    struct change truncate = {.kind = CHANGE_TRUNCATE};
    partial.new.values[1].kind = VALUE_UNCHANGED;
    keyless.new.values[0].kind = VALUE_UNCHANGED;
    assert_true(fold_add(fold, &one));
    assert_false(fold_add(fold, &one));
    assert_false(fold_add(fold, &partial));
    assert_false(fold_add(fold, &keyless));
    assert_false(fold_add(fold, &truncate));
}

/* Without a key every INSERT is a row of its own; nothing else can be folded. */
static void tables_without_a_key_take_inserts_only(void **state)
{
    static const bool no_key[COLUMNS];
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(fold_free) struct fold *fold = fold_new(arena, relation, no_key);
    struct change one = {.kind = CHANGE_INSERT, .new = row_of(arena, 1, (int[]){2, 3})};
    struct change go = {
        .kind = CHANGE_DELETE, .old_kind = OLD_FULL, .old = row_of(arena, 1, (int[]){2, 3})};
    assert_true(fold_add(fold, &one));
    assert_true(fold_add(fold, &one));
    assert_int_equal(fold_kind_of(fold_first(fold)->next), FOLD_INSERT);
    assert_false(fold_add(fold, &go));
}

static struct value word(struct arena *arena, const char *text)
{
    return (struct value){arena_copy(arena, text, strlen(text)), (uint32_t)strlen(text),
                          VALUE_TEXT};
}

/* Deleted, updated and moved rows by the key that they had; inserted ones as they were met. */
static void rows_are_taken_by_key(void **state)
{
    static const char *const keys[] = {"m", "b", "ba", "a", "\xff", "", "b0"};
    static const char *const by_key[] = {"", "a", "b", "b0", "ba", "m", "\xff"};
    static const enum change_kind kinds[] = {CHANGE_DELETE, CHANGE_UPDATE, CHANGE_INSERT};
    static const enum fold_kind folds[] = {FOLD_DELETE, FOLD_UPDATE, FOLD_INSERT};
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct change changes[COUNT_OF(keys)];
        AUTO(fold_free) struct fold *fold = fold_new(arena, relation, is_key);
        for (size_t i = 0; i < COUNT_OF(keys); i++) {
            struct tuple row = row_of(arena, 0, (int[]){1, 2});
            row.values[0] = word(arena, keys[i]);
            changes[i] = (struct change){
                .kind = kinds[k],
                .old_kind = kinds[k] == CHANGE_DELETE ? OLD_KEY : OLD_NONE,
                .old = kinds[k] == CHANGE_DELETE ? row : (struct tuple){0},
                .new = kinds[k] == CHANGE_DELETE ? (struct tuple){0} : row,
            };
            assert_true(fold_add(fold, &changes[i]));
        }
        for (int sorts = 0; sorts < 2; sorts++) {
            const struct fold_row **rows = NULL;
            const char *const *wanted = sorts && kinds[k] != CHANGE_INSERT ? by_key : keys;
            assert_int_equal(fold_take(fold, folds[k], sorts, &rows), COUNT_OF(keys));
            for (size_t i = 0; i < COUNT_OF(keys); i++) {
                const struct value *key =
                    kinds[k] == CHANGE_DELETE ? rows[i]->old : rows[i]->values;
                assert_int_equal(key->len, strlen(wanted[i]));
                assert_memory_equal(key->data, wanted[i], key->len);
            }
        }
    }
}

/* A move is found under the key that it leaves; other kinds stay out. */
static void rows_of_a_kind_are_taken_alone(void **state)
{
    AUTO(relation_unref) struct relation *relation = make_relation();
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(fold_free) struct fold *fold = fold_new(arena, relation, is_key);
    struct change changes[4] = {{.kind = CHANGE_DELETE, .old = row_of(arena, 9, NULL)}};
    assert_true(fold_add(fold, &changes[0]));
    for (int i = 1; i < 4; i++) { /* 7 becomes 1, 6 becomes 2, 5 becomes 3 */
        changes[i] = (struct change){.kind = CHANGE_UPDATE,
                                     .old_kind = OLD_KEY,
                                     .old = row_of(arena, 8 - i, NULL),
                                     .new = row_of(arena, i, (int[]){0, 0})};
        assert_true(fold_add(fold, &changes[i]));
    }
    const struct fold_row **rows = NULL;
    assert_int_equal(fold_take(fold, FOLD_UPDATE, true, &rows), 0);
    assert_int_equal(fold_take(fold, FOLD_DELETE, true, &rows), 1);
    assert_int_equal(read_number(rows[0]->old), 9);
    assert_int_equal(fold_take(fold, FOLD_MOVE, true, &rows), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_number(rows[i]->old), 5 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fold_does_what_its_changes_do),
        cmocka_unit_test(a_row_that_came_and_went_leaves_nothing),
        cmocka_unit_test(what_cannot_be_told_is_refused),
        cmocka_unit_test(tables_without_a_key_take_inserts_only),
        cmocka_unit_test(rows_are_taken_by_key),
        cmocka_unit_test(rows_of_a_kind_are_taken_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
