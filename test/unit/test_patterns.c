/* Tests of table patterns: folding, quoting, wildcards, what matched nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/macros.h"
#include "conf/pattern.h"

static bool parse(const char *text, struct pattern_list *ret, struct err *err)
{
    AUTO(strv_release) struct strv texts = STRV_INIT;
    pattern_split(text, &texts);
    return pattern_list_parse(&texts, ret, err);
}

static bool covers(const char *text, const char *schema, const char *table)
{
    AUTO(pattern_list_release) struct pattern_list list = PATTERN_LIST_INIT;
    struct err err = {0};
    if (!parse(text, &list, &err))
        fail_msg("%s", err.text);
    return pattern_list_match(&list, schema, table);
}

static void pattern_covers_as_written(void **state)
{
    static const struct {
        const char *pattern;
        const char *schema;
        const char *table;
        bool is_covered;
    } cases[] = {
        {"t", "public", "t", true},
        {"t", "other", "t", false},
        {"t", "public", "tt", false},
        {"s.t", "s", "t", true},
        {"s.t", "public", "t", false},
        {"s.*", "s", "anything at all", true},
        {"s.*", "ss", "t", false},
        {"*", "public", "t", true},
        {"*", "s", "t", false},
        {"*.*", "s", "T", true},
        {"*.t", "s", "t", true},
        {"*.t", "s", "u", false},
        {"s.t_*", "s", "t_", true},
        {"s.t_*", "s", "t_2024", true},
        {"s.t_*", "s", "t2024", false},
        {"*_log", "public", "a_log", true},
        {"*_log", "public", "a_log_log", true},
        {"*_log", "public", "a_logs", false},
        {"a*b*c", "public", "abc", true},
        {"a*b*c", "public", "aXbYbZc", true},
        {"a*b*c", "public", "acb", false},
        {"app_*.t", "app_1", "t", true},
        {"Orders", "public", "orders", true},
        {"Orders", "public", "Orders", false},
        {"\"Orders\"", "public", "Orders", true},
        {"\"Orders\"", "public", "orders", false},
        {"\"My Schema\".\"a.b\"", "My Schema", "a.b", true},
        {"\"a.b\"", "public", "a.b", true},
        {"\"a.b\"", "a", "b", false},
        {"\"*\"", "public", "*", true},
        {"\"*\"", "public", "t", false},
        {"\"a\"\"b\"", "public", "a\"b", true},
        {"s.\"T\"", "s", "T", true},
        {"\xc3\x84pfel", "public", "\xc3\x84pfel", true},
        {"t$1", "public", "t$1", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (covers(cases[i].pattern, cases[i].schema, cases[i].table) != cases[i].is_covered)
            fail_msg("%s against %s.%s", cases[i].pattern, cases[i].schema, cases[i].table);
}

static void pattern_list_without_patterns_covers_everything(void **state)
{
    assert_true(covers("", "any", "table"));
    assert_true(covers(" , ", "any", "table"));
}

static void pattern_list_covers_what_any_covers(void **state)
{
    assert_true(covers("a, s.*", "s", "x"));
    assert_true(covers("a, s.*", "public", "a"));
    assert_false(covers("a, s.*", "public", "b"));
}

static void pattern_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {"a.b.c", ".a",     "a.",     "\"a",  "\"\"", "a.\"\"",
                                        "a-b",   "a\"b\"", "\"a\"b", "a..b", "a;b",  "a.\"b"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO(pattern_list_release) struct pattern_list list = PATTERN_LIST_INIT;
        struct err err = {0};
        if (parse(wrong[i], &list, &err))
            fail_msg("%s was taken", wrong[i]);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.text, wrong[i]));
        assert_int_equal(list.count, 0);
    }
}

static void pattern_split_respects_quotes(void **state)
{
    AUTO(strv_release) struct strv texts = STRV_INIT;
    pattern_split("a,b  c,\t\"x, y\".\"d \"\"e\" ,,\n*.*", &texts);
    AUTO(strv_release) struct strv expected = STRV_INIT;
    static const char *const parts[] = {"a", "b", "c", "\"x, y\".\"d \"\"e\"", "*.*"};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        strv_add(&expected, parts[i]);
    assert_int_equal(texts.count, expected.count);
    for (size_t i = 0; i < texts.count; i++)
        assert_string_equal(texts.items[i], expected.items[i]);
}

static void patterns_that_matched_nothing_are_named(void **state)
{
    AUTO(pattern_list_release) struct pattern_list list = PATTERN_LIST_INIT;
    AUTO(strv_release) struct strv unmatched = STRV_INIT;
    struct err err = {0};
    assert_true(parse("orders s.* Typo", &list, &err));
    assert_true(pattern_list_match(&list, "public", "typo")); /* a look leaves no mark */
    assert_true(pattern_list_mark(&list, "public", "orders"));
    assert_false(pattern_list_mark(&list, "public", "other"));
    pattern_list_unmatched(&list, &unmatched);
    assert_int_equal(unmatched.count, 2);
    assert_string_equal(unmatched.items[0], "s.*");
    assert_string_equal(unmatched.items[1], "Typo");
}

static void patterns_that_overlap_are_all_marked(void **state)
{
    AUTO(pattern_list_release) struct pattern_list list = PATTERN_LIST_INIT;
    AUTO(strv_release) struct strv unmatched = STRV_INIT;
    struct err err = {0};
    assert_true(parse("* orders", &list, &err));
    assert_true(pattern_list_mark(&list, "public", "orders"));
    pattern_list_unmatched(&list, &unmatched);
    assert_int_equal(unmatched.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_covers_as_written),
        cmocka_unit_test(pattern_list_without_patterns_covers_everything),
        cmocka_unit_test(pattern_list_covers_what_any_covers),
        cmocka_unit_test(pattern_that_is_none_is_refused),
        cmocka_unit_test(pattern_split_respects_quotes),
        cmocka_unit_test(patterns_that_matched_nothing_are_named),
        cmocka_unit_test(patterns_that_overlap_are_all_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
