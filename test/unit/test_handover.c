/* Tests of the hand-over from copy to stream (DESIGN 4): what the copy holds is skipped, nothing
 * else is. A row lost or doubled stands behind each of these cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "pipeline/handover.h"

/* Three tables, copied one after another, and the schema before them. */
static struct keeper_table copied[] = {
    {.oid = 100, .snapshot = (char[]){"10:20:12,15"}, .end_lsn = 1000},
    {.oid = 200, .snapshot = (char[]){"30:30:"}, .end_lsn = 3000},
    {.oid = 4000000000U, .snapshot = (char[]){"25:30:27"}, .end_lsn = 2000},
};

static const struct keeper_tables tables = {.items = copied, .count = COUNT_OF(copied)};

static const struct keeper_pipeline pipeline = {
    .schema_snapshot = (char[]){"8:16:9"},
    .schema_lsn = 1500,
};

static struct handover *handover_of(const struct keeper_tables *of,
                                    const struct keeper_pipeline *for_pipeline)
{
    struct handover *handover = NULL;
    struct err err = {0};
    if (!handover_new(of, for_pipeline, &handover, &err))
        fail_msg("%s", err.text);
    return handover;
}

static bool skips(const struct handover *handover, uint32_t oid, uint32_t xid, uint64_t commit_lsn)
{
    struct relation relation = {.oid = oid};
    struct change change = {.kind = CHANGE_INSERT, .relation = &relation};
    return handover_skips(handover, &change, xid, commit_lsn);
}

struct judged {
    uint32_t oid;
    uint32_t xid;
    uint64_t commit_lsn;
    bool is_skipped;
};

static void assert_judged(const struct handover *handover, const struct judged *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct judged *c = &cases[i];
        if (skips(handover, c->oid, c->xid, c->commit_lsn) != c->is_skipped)
            fail_msg("relation %u, transaction %u, commit at %llu: skipped should be %d", c->oid,
                     c->xid, (unsigned long long)c->commit_lsn, c->is_skipped);
    }
}

static void what_the_snapshot_sees_is_skipped(void **state)
{
    static const struct judged cases[] = {
        {100, 9, 500, true},  /* ended before all that ran */
        {100, 10, 500, true}, /* xmin itself is not among the running */
        {100, 11, 500, true},
        {100, 12, 500, false}, /* was running: committed after the snapshot */
        {100, 15, 500, false},
        {100, 19, 500, true},
        {100, 20, 500, false}, /* xmax: began after the snapshot */
        {100, 21, 500, false},
    };
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void from_the_end_position_on_all_is_applied(void **state)
{
    static const struct judged cases[] = {
        {100, 11, 999, true},
        {100, 11, 1000, false}, /* a commit record that starts at L lies beyond the copy */
        {100, 11, 1001, false},
        {100, 12, 1000, false},
        {200, 11, 1000, true}, /* each table has its own */
        {200, 11, 2999, true},
        {200, 11, 3000, false},
        {100, 11, UINT64_MAX, false},
        {200, 29, 0, true},
    };
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void each_table_has_its_own_snapshot(void **state)
{
    static const struct judged cases[] = {
        {100, 26, 500, false},         {4000000000U, 26, 500, true}, /* a large OID is no negative
                                                                        one */
        {4000000000U, 27, 500, false}, {200, 27, 500, true},         {200, 30, 500, false},
    };
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void unknown_relations_are_judged_by_the_schema_copy(void **state)
{
    static const struct judged cases[] = {
        {1, 8, 500, true},    {150, 8, 500, true},   {4294967295U, 8, 500, true},
        {150, 9, 500, false}, {150, 15, 500, true},  {150, 16, 500, false},
        {150, 8, 1499, true}, {150, 8, 1500, false}, {150, 8, 1999, false},
    };
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void without_a_schema_copy_unknown_relations_are_applied(void **state)
{
    static const struct judged cases[] = {
        {150, 8, 0, false},
        {150, 8, 500, false},
        {100, 11, 500, true},
    };
    static const struct keeper_pipeline bare = {.schema_lsn = 1500};
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &bare);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void nothing_copied_means_nothing_skipped(void **state)
{
    static const struct keeper_tables none = KEEPER_TABLES_INIT;
    static const struct keeper_pipeline bare = {0};
    AUTO(handover_free) struct handover *handover = handover_of(&none, &bare);
    assert_int_equal(handover_end(handover), 0);
    assert_false(skips(handover, 100, 1, 0));
    assert_false(skips(handover, 100, 1, 500));
}

static void the_copy_ends_at_the_newest_position(void **state)
{
    const struct keeper_pipeline late = {.schema_snapshot = (char[]){"8:16:9"}, .schema_lsn = 5000};
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    AUTO(handover_free) struct handover *beyond = handover_of(&tables, &late);
    assert_int_equal(handover_end(handover), 3000);
    assert_int_equal(handover_end(beyond), 5000);
    assert_true(skips(beyond, 150, 8, 4999));
}

static void transaction_ids_wrap_at_32_bits(void **state)
{
    struct keeper_table items[] = {
        /* 2^32 - 5 : 2^32 + 5, of which 2^32 - 2 and 2^32 + 3 were running */
        {.oid = 100,
         .snapshot = (char[]){"4294967291:4294967301:4294967294,4294967299"},
         .end_lsn = 1000},
        {.oid = 200, .snapshot = (char[]){"8589934600:8589934610:8589934605"}, .end_lsn = 1000},
    };
    const struct keeper_tables wrapped = {.items = items, .count = COUNT_OF(items)};
    static const struct judged cases[] = {
        {100, 4294967290U, 500, true}, {100, 4294967291U, 500, true},
        {100, 4294967293U, 500, true}, {100, 4294967294U, 500, false},
        {100, 4294967295U, 500, true}, {100, 3, 500, false}, /* 2^32 + 3 */
        {100, 4, 500, true},           {100, 5, 500, false}, /* xmax */
        {100, 6, 500, false},          {100, 2000000000U, 500, false},
        {200, 7, 500, true},           {200, 8, 500, true}, /* 2^33 + 8: the third round */
        {200, 13, 500, false},         {200, 17, 500, true},
        {200, 18, 500, false},         {200, 4294967295U, 500, true},
    };
    AUTO(handover_free) struct handover *handover = handover_of(&wrapped, &pipeline);
    assert_judged(handover, cases, COUNT_OF(cases));
}

static void truncate_is_judged_for_each_relation(void **state)
{
    struct relation first = {.oid = 100};
    struct relation second = {.oid = 200};
    struct relation large = {.oid = 4000000000U};
    struct relation unknown = {.oid = 150};
    const struct {
        uint32_t xid;
        uint64_t commit_lsn;
        size_t count;
        const struct relation *left[4];
    } cases[] = {
        {11, 500, 0, {NULL}},                               /* all four hold it */
        {12, 500, 1, {&first}},                             /* was running for the first */
        {27, 500, 3, {&first, &large, &unknown}},           /* only the second was copied later */
        {11, 1000, 1, {&first}},                            /* beyond the first one's end */
        {11, 2500, 3, {&first, &large, &unknown}},          /* only the second goes that far */
        {11, 3000, 4, {&first, &second, &large, &unknown}}, /* beyond all */
    };
    AUTO(handover_free) struct handover *handover = handover_of(&tables, &pipeline);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct relation *list[] = {&first, &second, &large, &unknown};
        size_t count =
            handover_filter(handover, list, COUNT_OF(list), cases[i].xid, cases[i].commit_lsn);
        assert_int_equal(count, cases[i].count);
        for (size_t k = 0; k < count; k++)
            assert_ptr_equal(list[k], cases[i].left[k]);
    }
    assert_int_equal(handover_filter(handover, NULL, 0, 11, 500), 0);
}

static void what_is_no_snapshot_is_an_error(void **state)
{
    struct keeper_table items[] = {
        {.oid = 100, .snapshot = (char[]){"10:20:"}, .end_lsn = 1000},
        {.oid = 200, .snapshot = (char[]){"10:20"}, .end_lsn = 1000},
    };
    const struct keeper_tables bad = {.items = items, .count = COUNT_OF(items)};
    const struct keeper_pipeline bad_schema = {.schema_snapshot = (char[]){"nonsense"}};
    struct handover *handover = NULL;
    struct err err = {0};
    assert_false(handover_new(&bad, &pipeline, &handover, &err));
    assert_null(handover);
    assert_int_equal(err.kind, ERR_FATAL);
    err = (struct err){0};
    assert_false(handover_new(&tables, &bad_schema, &handover, &err));
    assert_null(handover);
    assert_int_equal(err.kind, ERR_FATAL);
}

static void letting_go_of_nothing_is_fine(void **state)
{
    struct handover *handover = NULL;
    handover_free(&handover);
    assert_null(handover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_snapshot_sees_is_skipped),
        cmocka_unit_test(from_the_end_position_on_all_is_applied),
        cmocka_unit_test(each_table_has_its_own_snapshot),
        cmocka_unit_test(unknown_relations_are_judged_by_the_schema_copy),
        cmocka_unit_test(without_a_schema_copy_unknown_relations_are_applied),
        cmocka_unit_test(nothing_copied_means_nothing_skipped),
        cmocka_unit_test(the_copy_ends_at_the_newest_position),
        cmocka_unit_test(transaction_ids_wrap_at_32_bits),
        cmocka_unit_test(truncate_is_judged_for_each_relation),
        cmocka_unit_test(what_is_no_snapshot_is_an_error),
        cmocka_unit_test(letting_go_of_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
