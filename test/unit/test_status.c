/* What status makes of the answers of the two servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/mem.h"
#include "status/status.h"

static const struct settings plain = {.mode = MODE_SNAPSHOT_AND_REPLICATION};

/* A pipeline that follows, with all well. Owned texts only: status_release() frees them. */
static struct status well(const struct settings *settings)
{
    return (struct status){
        .settings = settings,
        .slot_name = str_dup("s"),
        .source = {.is_given = true, .is_reached = true},
        .target = {.is_given = true, .is_reached = true},
        .slot = {.exists = true,
                 .plugin = str_dup("pgoutput"),
                 .database = str_dup("d"),
                 .confirmed = 100},
        .end = 100,
        .snapshot_age_s = -1,
        .lag_bytes = -1,
        .lag_seconds = 7,
        .has_keeper = true,
        .pipeline = {.phase = KEEPER_FOLLOWING, .position = 100},
    };
}

static void status_of_what_is_well_has_no_problem(void **state UNUSED)
{
    AUTO(status_release) struct status status = well(&plain);
    status_judge(&status);
    assert_int_equal(status.problems.count + status.warnings.count, 0);
    assert_string_equal(status.phase, "following");
}

static void status_has_no_lag_when_nothing_is_outstanding(void **state UNUSED)
{
    AUTO(status_release) struct status status = well(&plain);
    status_judge(&status);
    assert_int_equal(status.lag_bytes, 0);
    assert_true(status.lag_seconds == 0);
}

static void status_keeps_the_seconds_while_something_is_outstanding(void **state UNUSED)
{
    AUTO(status_release) struct status status = well(&plain);
    status.end = 150;
    status_judge(&status);
    assert_int_equal(status.lag_bytes, 50);
    assert_true(status.lag_seconds == 7);
}

static void status_warns_of_a_snapshot_from_an_hour_on(void **state UNUSED)
{
    AUTO(status_release) struct status young = well(&plain);
    AUTO(status_release) struct status old = well(&plain);
    young.snapshot_age_s = STATUS_SNAPSHOT_OLD_S - 1;
    old.snapshot_age_s = STATUS_SNAPSHOT_OLD_S;
    status_judge(&young);
    status_judge(&old);
    assert_int_equal(young.warnings.count, 0);
    assert_int_equal(old.warnings.count, 1);
    assert_non_null(strstr(old.warnings.items[0], "60 minutes"));
    assert_int_equal(old.problems.count, 0);
}

static void status_finds_the_bound_exceeded_beyond_it_only(void **state UNUSED)
{
    struct settings bounded = plain;
    bounded.max_slot_wal = 1000;
    AUTO(status_release) struct status at = well(&bounded);
    AUTO(status_release) struct status beyond = well(&bounded);
    at.held_bytes = 1000;
    beyond.held_bytes = 1001;
    status_judge(&at);
    status_judge(&beyond);
    assert_int_equal(at.problems.count, 0);
    assert_int_equal(beyond.problems.count, 1);
}

static void status_needs_an_engine_only_when_asked_to(void **state UNUSED)
{
    struct settings running = plain;
    running.running = true;
    AUTO(status_release) struct status none = well(&running);
    AUTO(status_release) struct status one = well(&running);
    one.engine.pid = 1;
    status_judge(&none);
    status_judge(&one);
    assert_int_equal(none.problems.count, 1);
    assert_int_equal(one.problems.count, 0);
}

static void status_of_a_snapshot_needs_no_slot(void **state UNUSED)
{
    struct settings once = plain;
    once.mode = MODE_SNAPSHOT;
    AUTO(status_release) struct status status = well(&once);
    slot_state_release(&status.slot);
    status_judge(&status);
    assert_int_equal(status.problems.count, 0);
    assert_true(status.lag_bytes < 0 && status.lag_seconds < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_of_what_is_well_has_no_problem),
        cmocka_unit_test(status_has_no_lag_when_nothing_is_outstanding),
        cmocka_unit_test(status_keeps_the_seconds_while_something_is_outstanding),
        cmocka_unit_test(status_warns_of_a_snapshot_from_an_hour_on),
        cmocka_unit_test(status_finds_the_bound_exceeded_beyond_it_only),
        cmocka_unit_test(status_needs_an_engine_only_when_asked_to),
        cmocka_unit_test(status_of_a_snapshot_needs_no_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
