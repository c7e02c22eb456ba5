/* When the durable position was last the source's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/macros.h"
#include "pipeline/freshness.h"

static void note(struct freshness *freshness, uint64_t lsn, unsigned second)
{
    char at[FRESHNESS_TIME];
    (void)snprintf(at, sizeof(at), "%u", second);
    freshness_note(freshness, lsn, at);
}

static void freshness_is_unknown_before_the_first_sample_is_passed(void **state UNUSED)
{
    static struct freshness freshness = FRESHNESS_INIT;
    assert_null(freshness_ask(&freshness, 100));
    note(&freshness, 101, 1);
    assert_null(freshness_ask(&freshness, 100));
}

static void freshness_is_the_newest_sample_passed(void **state UNUSED)
{
    static struct freshness freshness = FRESHNESS_INIT;
    for (unsigned i = 1; i <= 10; i++)
        note(&freshness, 100 * i, i);
    assert_string_equal(freshness_ask(&freshness, 450), "4");
    assert_string_equal(freshness_ask(&freshness, 499), "4");
    assert_string_equal(freshness_ask(&freshness, 500), "5");
    assert_int_equal(freshness.count, 6);
}

static void freshness_moves_on_while_the_source_is_idle(void **state UNUSED)
{
    static struct freshness freshness = FRESHNESS_INIT;
    note(&freshness, 100, 1);
    note(&freshness, 100, 2);
    assert_string_equal(freshness_ask(&freshness, 100), "2");
    note(&freshness, 100, 3);
    assert_string_equal(freshness_ask(&freshness, 100), "3");
}

static void freshness_keeps_the_oldest_sample_when_it_is_full(void **state UNUSED)
{
    static struct freshness freshness = FRESHNESS_INIT;
    for (unsigned i = 0; i < 10 * FRESHNESS_SAMPLES; i++)
        note(&freshness, 100 + i, i);
    assert_true(freshness.count <= FRESHNESS_SAMPLES);
    assert_string_equal(freshness_ask(&freshness, 100), "0");
    assert_non_null(freshness_ask(&freshness, 100 + 5 * FRESHNESS_SAMPLES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freshness_is_unknown_before_the_first_sample_is_passed),
        cmocka_unit_test(freshness_is_the_newest_sample_passed),
        cmocka_unit_test(freshness_moves_on_while_the_source_is_idle),
        cmocka_unit_test(freshness_keeps_the_oldest_sample_when_it_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
