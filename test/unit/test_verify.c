/* verify: sums, the comparison of entries, the SQL of a plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "verify/diff.h"
#include "verify/plan.h"

static void checksum_is_the_sum_modulo_2_to_the_64(void **state)
{
    (void)state;
    assert_true(checksum_parse(NULL) == 0);
    assert_true(checksum_parse("0") == 0);
    assert_true(checksum_parse("-1") == UINT64_MAX);
    assert_true(checksum_parse("18446744073709551616") == 0);
    assert_true(checksum_parse("18446744073709551619") == 3);
    assert_true(checksum_parse("-18446744073709551619") == (uint64_t)-3);
    assert_true(checksum_parse("9223372036854775807") == INT64_MAX);
}

static void equal_sums_of_different_counts_differ(void **state)
{
    (void)state;
    struct part_sum none = {0};
    struct part_sum one = {.rows = 1, .sum = 0};
    assert_true(part_sum_equal(&none, &none));
    assert_false(part_sum_equal(&none, &one));
}

static void entries_that_differ_are_found_in_place_order(void **state)
{
    (void)state;
    struct entry source[] = {{9, 1, 0}, {-5, 1, 1}, {7, 1, 2}, {3, 1, 3}};
    struct entry target[] = {{9, 1, 0}, {7, 2, 1}, {3, 1, 2}, {4, 8, 3}};
    AUTO(finding_list_release) struct finding_list found = FINDING_LIST_INIT;
    entries_compare(source, 4, target, 4, &found);
    assert_int_equal(found.count, 3);
    assert_int_equal(found.items[0].kind, DIFFERENCE_MISSING);
    assert_int_equal(found.items[0].key, -5);
    assert_int_equal(found.items[1].kind, DIFFERENCE_CHANGED);
    assert_int_equal(found.items[1].key, 7);
    assert_int_equal(found.items[1].target_value, 2);
    assert_int_equal(found.items[2].kind, DIFFERENCE_EXTRA);
    assert_int_equal(found.items[2].key, 4);
}

static void doubled_entry_is_extra(void **state)
{
    (void)state;
    struct entry source[] = {{1, 5, 0}};
    struct entry target[] = {{1, 5, 0}, {1, 5, 1}};
    AUTO(finding_list_release) struct finding_list found = FINDING_LIST_INIT;
    entries_compare(source, 1, target, 2, &found);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0].kind, DIFFERENCE_EXTRA);
}

static void nothing_is_equal_to_nothing(void **state)
{
    (void)state;
    AUTO(finding_list_release) struct finding_list found = FINDING_LIST_INIT;
    entries_compare(NULL, 0, NULL, 0, &found);
    assert_int_equal(found.count, 0);
}

static char text_id[] = "id";
static char text_big[] = "bigint";
static char text_int[] = "integer";
static char text_s[] = "s";
static char text_t[] = "T\"";

static struct column id_column(char *type_name)
{
    return (struct column){.name = text_id, .type_name = type_name, .is_primary_key = true};
}

static struct table table_of(struct column *columns, size_t count)
{
    return (struct table){
        .schema = text_s, .name = text_t, .kind = 'r', .columns = columns, .column_count = count};
}

static void key_of_one_type_is_ordered_by_it(void **state)
{
    (void)state;
    struct column column = id_column(text_big);
    struct table table = table_of(&column, 1);
    AUTO(plan_release) struct plan plan = PLAN_INIT;
    plan_init(&plan, &table, &table, NULL);
    strv_add(&plan.bounds, "10");
    strv_add(&plan.bounds, "20");
    struct scope scope = {.first = 1, .last = 1};
    AUTO(str_free) char *sql = plan_rows_sql(&plan, SIDE_TARGET, &scope);
    assert_string_equal(sql, "SELECT hashtextextended((ROW(t.\"id\")::text) COLLATE \"C\", 0), "
                             "hashtextextended((ROW(t.\"id\")::text) COLLATE \"C\", 0)"
                             " FROM ONLY \"s\".\"T\"\"\" AS t WHERE true"
                             " AND t.\"id\" >= '10'::bigint AND t.\"id\" < '20'::bigint"
                             " ORDER BY t.\"id\"");
}

static void key_of_two_types_is_ordered_by_its_text(void **state)
{
    (void)state;
    struct column source_column = id_column(text_big);
    struct column target_column = id_column(text_int);
    struct table source = table_of(&source_column, 1);
    struct table target = table_of(&target_column, 1);
    AUTO(plan_release) struct plan plan = PLAN_INIT;
    plan_init(&plan, &source, &target, NULL);
    strv_add(&plan.bounds, "1'0");
    AUTO(str_free) char *sql = plan_ranges_sql(&plan, SIDE_SOURCE);
    assert_non_null(strstr(sql, "CASE WHEN (t.\"id\")::text COLLATE \"C\" < '1''0'::text"
                                " THEN 0 ELSE 1 END AS r"));
}

static void table_without_key_is_grouped_by_row(void **state)
{
    (void)state;
    struct column column = {.name = text_id, .type_name = text_big};
    struct table table = table_of(&column, 1);
    AUTO(plan_release) struct plan plan = PLAN_INIT;
    plan_init(&plan, &table, &table, "UTF8");
    struct scope scope = {.parts = 8, .chosen = "3,5"};
    AUTO(str_free) char *sql = plan_rows_sql(&plan, SIDE_SOURCE, &scope);
    assert_int_equal(plan.key_count, 0);
    assert_null(plan_bounds_sql(&plan));
    assert_non_null(strstr(sql, "count(*)"));
    assert_non_null(strstr(sql, "& 9223372036854775807) % 8 IN (3,5) GROUP BY 1 ORDER BY 1"));
    assert_non_null(strstr(sql, "convert_to(ROW(t.\"id\")::text, 'UTF8')"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_is_the_sum_modulo_2_to_the_64),
        cmocka_unit_test(equal_sums_of_different_counts_differ),
        cmocka_unit_test(entries_that_differ_are_found_in_place_order),
        cmocka_unit_test(doubled_entry_is_extra),
        cmocka_unit_test(nothing_is_equal_to_nothing),
        cmocka_unit_test(key_of_one_type_is_ordered_by_it),
        cmocka_unit_test(key_of_two_types_is_ordered_by_its_text),
        cmocka_unit_test(table_without_key_is_grouped_by_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
