/* Tests of part planning: what is cut, in what order it is copied, the COPY commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/mem.h"
#include "source/part.h"

enum { BLOCK = 8192, PART = 64 * 1024 * 1024 };

static char schema[] = "public";
static char name[] = "Mixed";
static struct column columns[] = {
    {.name = (char[]){"id"}},
    {.name = (char[]){"sum"}, .is_generated = true},
    {.name = (char[]){"it's a \"name\""}},
};

static struct table table_of(int64_t bytes)
{
    return (struct table){
        .schema = schema,
        .name = name,
        .is_heap = true,
        .bytes = bytes,
        .columns = columns,
        .column_count = COUNT_OF(columns),
    };
}

static void a_table_up_to_a_part_stays_whole(void **state)
{
    static const int64_t sizes[] = {0, 1, BLOCK, PART - BLOCK, PART};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
        struct table table = table_of(sizes[i]);
        assert_int_equal(part_plan(&list, &table, true, PART, BLOCK), 1);
        assert_int_equal(list.count, 1);
        assert_true(list.items[0].is_whole);
        assert_int_equal(list.items[0].first_block, 0);
        assert_int_equal(list.items[0].end_block, -1);
        assert_ptr_equal(list.items[0].table, &table);
    }
}

/* From block 0 on, each part starts where the one before it ends, and the last has no end. */
static void assert_covers_once(const struct part_list *list, int64_t most_blocks)
{
    int64_t next = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct part *part = &list->items[i];
        bool is_last = i + 1 == list->count;
        assert_int_equal(part->number, i);
        assert_int_equal(part->first_block, next);
        if (is_last) {
            assert_int_equal(part->end_block, -1);
            break;
        }
        assert_true(part->end_block > part->first_block);
        assert_true(part->end_block - part->first_block <= most_blocks);
        next = part->end_block;
    }
}

static void parts_cover_every_block_once(void **state)
{
    static const int64_t steps[] = {1, 2, 3, 7, 64, 8192};
    for (size_t s = 0; s < COUNT_OF(steps); s++)
        for (int64_t blocks = 0; blocks < 200; blocks++) {
            AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
            struct table table = table_of(blocks * BLOCK);
            int count = part_plan(&list, &table, true, steps[s] * BLOCK, BLOCK);
            assert_int_equal(list.count, count);
            assert_int_equal(count, MAX_OF((blocks + steps[s] - 1) / steps[s], 1));
            assert_covers_once(&list, steps[s]);
        }
}

static void the_last_part_starts_within_the_table(void **state)
{
    for (int64_t blocks = 2; blocks < 200; blocks++) {
        AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
        struct table table = table_of(blocks * BLOCK);
        part_plan(&list, &table, true, (int64_t)5 * BLOCK, BLOCK);
        assert_true(list.items[list.count - 1].first_block < blocks);
    }
}

static void a_part_is_a_block_at_least(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table table = table_of((int64_t)3 * BLOCK);
    assert_int_equal(part_plan(&list, &table, true, 1, BLOCK), 3);
    assert_covers_once(&list, 1);
}

static void the_largest_table_is_cut_without_overflow(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table table = table_of((int64_t)4294967295 * BLOCK); /* 32 TiB, PostgreSQL's limit */
    int64_t part_bytes = (int64_t)16 << 30;
    assert_int_equal(part_plan(&list, &table, true, part_bytes, BLOCK), 2048);
    assert_covers_once(&list, part_bytes / BLOCK);
}

static void only_heap_tables_are_cut(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table table = table_of((int64_t)10 * PART);
    table.is_heap = false;
    assert_int_equal(part_plan(&list, &table, true, PART, BLOCK), 1);
    assert_true(list.items[0].is_whole);
}

static void tables_share_one_list(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table first = table_of((int64_t)3 * PART);
    struct table second = table_of((int64_t)2 * PART);
    assert_int_equal(part_plan(&list, &first, true, PART, BLOCK), 3);
    assert_int_equal(part_plan(&list, &second, false, PART, BLOCK), 2);
    assert_int_equal(list.count, 5);
    assert_ptr_equal(list.items[2].table, &first);
    assert_true(list.items[2].is_binary);
    assert_ptr_equal(list.items[3].table, &second);
    assert_int_equal(list.items[3].number, 0);
    assert_false(list.items[3].is_binary);
}

static void the_largest_parts_come_first(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table tables[] = {table_of(BLOCK), table_of((int64_t)3 * PART), table_of(0),
                             table_of(PART / 2)};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        part_plan(&list, &tables[i], true, PART, BLOCK);
    part_list_sort(&list);
    assert_int_equal(list.count, 6);
    for (int i = 0; i < 3; i++) { /* equal ones in the table's order: reads stay sequential */
        assert_ptr_equal(list.items[i].table, &tables[1]);
        assert_int_equal(list.items[i].number, i);
    }
    assert_ptr_equal(list.items[3].table, &tables[3]);
    assert_ptr_equal(list.items[4].table, &tables[0]);
    assert_ptr_equal(list.items[5].table, &tables[2]);
}

static void hurried_parts_come_before_larger_ones(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    struct table large = table_of((int64_t)2 * PART);
    struct table restless = table_of(PART + BLOCK);
    (void)part_plan(&list, &large, true, PART, BLOCK);
    part_list_hurry(&list, part_plan(&list, &restless, true, PART, BLOCK));
    part_list_sort(&list);
    assert_int_equal(list.count, 4);
    assert_ptr_equal(list.items[0].table, &restless);
    assert_ptr_equal(list.items[1].table, &restless);
    assert_ptr_equal(list.items[2].table, &large);
}

static void an_empty_list_sorts(void **state)
{
    AUTO(part_list_release) struct part_list list = PART_LIST_INIT;
    part_list_sort(&list);
    assert_int_equal(list.count, 0);
}

static void commands_name_block_ranges_and_columns(void **state)
{
    struct table table = table_of((int64_t)2 * PART);
    struct table bare = table_of(0);
    bare.column_count = 0;
    const struct {
        struct part part;
        const char *read;
        const char *write;
    } cases[] = {
        {{.table = &table, .is_whole = true, .end_block = -1, .is_binary = true},
         "COPY \"public\".\"Mixed\" (\"id\", \"it's a \"\"name\"\"\") TO STDOUT (FORMAT binary)",
         "COPY \"public\".\"Mixed\" (\"id\", \"it's a \"\"name\"\"\") FROM STDIN (FORMAT binary)"},
        {{.table = &table, .first_block = 0, .end_block = 8192},
         "COPY (SELECT \"id\", \"it's a \"\"name\"\"\" FROM ONLY \"public\".\"Mixed\""
         " WHERE ctid >= '(0,0)'::tid AND ctid < '(8192,0)'::tid) TO STDOUT",
         "COPY \"public\".\"Mixed\" (\"id\", \"it's a \"\"name\"\"\") FROM STDIN"},
        {{.table = &table, .first_block = 8192, .end_block = -1},
         "COPY (SELECT \"id\", \"it's a \"\"name\"\"\" FROM ONLY \"public\".\"Mixed\""
         " WHERE ctid >= '(8192,0)'::tid) TO STDOUT",
         "COPY \"public\".\"Mixed\" (\"id\", \"it's a \"\"name\"\"\") FROM STDIN"},
        {{.table = &bare, .is_whole = true, .end_block = -1},
         "COPY \"public\".\"Mixed\" TO STDOUT",
         "COPY \"public\".\"Mixed\" FROM STDIN"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str_free) char *read = part_read_sql(&cases[i].part);
        AUTO(str_free) char *write = part_write_sql(&cases[i].part);
        assert_string_equal(read, cases[i].read);
        assert_string_equal(write, cases[i].write);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_up_to_a_part_stays_whole),
        cmocka_unit_test(parts_cover_every_block_once),
        cmocka_unit_test(the_last_part_starts_within_the_table),
        cmocka_unit_test(a_part_is_a_block_at_least),
        cmocka_unit_test(the_largest_table_is_cut_without_overflow),
        cmocka_unit_test(only_heap_tables_are_cut),
        cmocka_unit_test(tables_share_one_list),
        cmocka_unit_test(the_largest_parts_come_first),
        cmocka_unit_test(hurried_parts_come_before_larger_ones),
        cmocka_unit_test(an_empty_list_sorts),
        cmocka_unit_test(commands_name_block_ranges_and_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
