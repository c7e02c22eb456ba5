/* Tests of the copy's bound on bytes a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/macros.h"
#include "pipeline/rate.h"

static void no_bound_never_waits(void **state)
{
    AUTO(rate_free) struct rate *rate = rate_new(0);
    struct err err = {0};
    assert_null(rate);
    assert_true(rate_spend(rate, SIZE_MAX, NULL, &err));
}

static void what_is_spent_takes_its_time(void **state)
{
    AUTO(rate_free) struct rate *rate = rate_new(1000000);
    struct err err = {0};
    int64_t began = clock_ms();
    for (int i = 0; i < 10; i++)
        assert_true(rate_spend(rate, 10000, NULL, &err));
    int64_t took = clock_ms() - began;
    assert_in_range(took, 99, 2000); /* a busy machine may take longer, never less */
}

static void a_stop_ends_the_wait(void **state)
{
    AUTO(rate_free) struct rate *rate = rate_new(1);
    AUTO(stop_free) struct stop *stop = stop_new();
    struct err err = {0};
    int64_t began = clock_ms();
    stop_raise(stop);
    assert_false(rate_spend(rate, 1000000, stop, &err));
    assert_int_equal(err.kind, ERR_STOP);
    assert_in_range(clock_ms() - began, 0, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bound_never_waits),
        cmocka_unit_test(what_is_spent_takes_its_time),
        cmocka_unit_test(a_stop_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
