/* Tests of src/change: batches keep order and lifetimes, relations are immutable and counted.
 * What a reference too many or too few does, the runs under AddressSanitizer show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "change/batch.h"

static struct relation *relation_of(uint32_t oid, const char *name)
{
    const struct relation_column columns[] = {
        {.name = (char[]){"id"}, .type_oid = 23, .typmod = -1, .is_key = true},
        {.name = (char[]){"value"}, .type_oid = 1043, .typmod = 24},
    };
    return relation_new(oid, "public", name, 'd', COUNT_OF(columns), columns);
}

static void relations_own_copies_of_their_names(void **state)
{
    char schema[] = "public";
    char name[] = "account";
    char column[] = "id";
    struct relation_column columns[] = {{.name = column, .type_oid = 20, .typmod = -1}};
    AUTO(relation_unref)
    struct relation *relation = relation_new(7, schema, name, 'f', 1, columns);
    memset(schema, 'x', sizeof(schema) - 1);
    memset(name, 'x', sizeof(name) - 1);
    memset(column, 'x', sizeof(column) - 1);
    columns[0].type_oid = 0;
    assert_string_equal(relation->schema, "public");
    assert_string_equal(relation->name, "account");
    assert_int_equal(relation->oid, 7);
    assert_int_equal(relation->replica_identity, 'f');
    assert_int_equal(relation->column_count, 1);
    assert_string_equal(relation->columns[0].name, "id");
    assert_int_equal(relation->columns[0].type_oid, 20);
}

static void a_relation_may_have_no_columns(void **state)
{
    AUTO(relation_unref)
    struct relation *relation = relation_new(7, "public", "bare", 'n', 0, NULL);
    assert_int_equal(relation->column_count, 0);
}

static void a_relation_made_again_has_a_new_serial(void **state)
{
    AUTO(relation_unref) struct relation *first = relation_of(7, "a");
    AUTO(relation_unref) struct relation *second = relation_of(7, "a");
    assert_true(second->serial > first->serial);
}

static void a_relation_lives_until_its_last_reference(void **state)
{
    struct relation *first = relation_of(7, "a");
    struct relation *second = relation_ref(first);
    assert_ptr_equal(first, second);
    relation_unref(&first);
    assert_null(first);
    assert_string_equal(second->name, "a");
    relation_unref(&second);
    relation_unref(&second); /* of NULL: nothing */
    assert_null(second);
}

static void a_new_batch_is_empty(void **state)
{
    AUTO(batch_unref) struct batch *batch = batch_new();
    assert_null(batch_first(batch));
    assert_null(batch_last(batch));
    assert_int_equal(batch_count(batch), 0);
    assert_int_equal(batch_bytes(batch), 0);
}

static void changes_stand_in_the_order_they_came(void **state)
{
    static const enum change_kind kinds[] = {CHANGE_BEGIN,    CHANGE_INSERT, CHANGE_UPDATE,
                                             CHANGE_TRUNCATE, CHANGE_DELETE, CHANGE_COMMIT};
    AUTO(batch_unref) struct batch *batch = batch_new();
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct change *change = batch_append(batch, kinds[i]);
        assert_null(change->relation); /* all but the kind is zero */
        assert_null(change->next);
        change->lsn = i;
        assert_ptr_equal(batch_last(batch), change);
    }
    size_t count = 0;
    for (const struct change *c = batch_first(batch); c; c = c->next, count++) {
        assert_int_equal(c->kind, kinds[count]);
        assert_int_equal(c->lsn, count);
    }
    assert_int_equal(count, COUNT_OF(kinds));
    assert_int_equal(batch_count(batch), COUNT_OF(kinds));
}

static void bytes_count_what_the_arena_holds(void **state)
{
    AUTO(batch_unref) struct batch *batch = batch_new();
    size_t before = batch_bytes(batch);
    (void)batch_append(batch, CHANGE_INSERT);
    assert_true(batch_bytes(batch) >= before + sizeof(struct change));
    before = batch_bytes(batch);
    char *big = arena_alloc(batch_arena(batch), 1 << 20);
    memset(big, 'x', 1 << 20);
    assert_true(batch_bytes(batch) >= before + (1 << 20));
}

static void values_stay_where_they_are_while_the_batch_grows(void **state)
{
    AUTO(batch_unref) struct batch *batch = batch_new();
    char expected[24];
    for (int i = 0; i < 20000; i++) {
        struct change *change = batch_append(batch, CHANGE_INSERT);
        struct value *value = arena_alloc(batch_arena(batch), sizeof(*value));
        (void)snprintf(expected, sizeof(expected), "value %d", i);
        value->len = (uint32_t)strlen(expected);
        value->data = arena_copy(batch_arena(batch), expected, value->len);
        value->kind = VALUE_TEXT;
        change->new = (struct tuple){.count = 1, .values = value};
    }
    int i = 0;
    for (const struct change *c = batch_first(batch); c; c = c->next, i++) {
        (void)snprintf(expected, sizeof(expected), "value %d", i);
        assert_int_equal(c->new.values[0].len, strlen(expected));
        assert_memory_equal(c->new.values[0].data, expected, c->new.values[0].len);
    }
    assert_int_equal(i, 20000);
}

static void a_batch_keeps_its_relations_alive(void **state)
{
    enum { COUNT = 10 };
    AUTO(batch_unref) struct batch *batch = batch_new();
    for (int round = 0; round < 3; round++)
        for (uint32_t oid = 0; oid < COUNT; oid++) {
            AUTO(relation_unref) struct relation *relation = relation_of(oid, "kept");
            struct change *change = batch_append(batch, CHANGE_INSERT);
            change->relation = batch_keep(batch, relation);
            assert_ptr_equal(change->relation, relation);
            assert_ptr_equal(batch_keep(batch, relation), relation); /* again: no harm */
        }
    size_t count = 0;
    for (const struct change *c = batch_first(batch); c; c = c->next, count++) {
        assert_int_equal(c->relation->oid, count % COUNT);
        assert_string_equal(c->relation->name, "kept");
    }
    assert_int_equal(count, 3 * COUNT);
}

static void a_batch_lives_until_its_last_reader_has_left(void **state)
{
    struct batch *batch = batch_new();
    AUTO(relation_unref) struct relation *relation = relation_of(1, "a");
    batch_append(batch, CHANGE_INSERT)->relation = batch_keep(batch, relation);
    struct batch *reader = batch_ref(batch);
    batch_unref(&batch);
    assert_null(batch);
    assert_int_equal(batch_count(reader), 1);
    assert_string_equal(batch_first(reader)->relation->name, "a");
    batch_unref(&reader);
    batch_unref(&reader); /* of NULL: nothing */
    assert_string_equal(relation->name, "a");
}

/* One of several readers: counts what it sees and lets go. */
static void *reader_main(void *arg)
{
    AUTO(batch_unref) struct batch *batch = arg;
    size_t count = 0;
    for (const struct change *c = batch_first(batch); c; c = c->next)
        count += c->relation->oid == 1;
    return (void *)(uintptr_t)count;
}

static void several_readers_share_a_batch(void **state)
{
    enum { READERS = 4, CHANGES = 1000 };
    pthread_t threads[READERS];
    struct batch *batch = batch_new();
    struct relation *relation = relation_of(1, "a");
    for (int i = 0; i < CHANGES; i++)
        batch_append(batch, CHANGE_INSERT)->relation = batch_keep(batch, relation);
    relation_unref(&relation);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, batch_ref(batch)), 0);
    batch_unref(&batch); /* the readers may be the last ones */
    for (int i = 0; i < READERS; i++) {
        void *count = NULL;
        assert_int_equal(pthread_join(threads[i], &count), 0);
        assert_int_equal((uintptr_t)count, CHANGES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relations_own_copies_of_their_names),
        cmocka_unit_test(a_relation_may_have_no_columns),
        cmocka_unit_test(a_relation_made_again_has_a_new_serial),
        cmocka_unit_test(a_relation_lives_until_its_last_reference),
        cmocka_unit_test(a_new_batch_is_empty),
        cmocka_unit_test(changes_stand_in_the_order_they_came),
        cmocka_unit_test(bytes_count_what_the_arena_holds),
        cmocka_unit_test(values_stay_where_they_are_while_the_batch_grows),
        cmocka_unit_test(a_batch_keeps_its_relations_alive),
        cmocka_unit_test(a_batch_lives_until_its_last_reader_has_left),
        cmocka_unit_test(several_readers_share_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
