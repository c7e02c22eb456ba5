/* Findings: from error values and back, their order; which minor versions have a fix. */
#include "check/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "check/report.h"

static void fixed_minors_are_those_of_november_2026(void **state UNUSED)
{
    static const struct {
        int version;
        bool is_fixed;
    } cases[] = {
        {140024, false}, {140025, true}, {150019, false}, {150020, true},
        {160015, false}, {160016, true}, {170011, false}, {170012, true},
        {180005, false}, {180006, true}, {190000, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(check_has_snapshot_fix(cases[i].version), cases[i].is_fixed);
}

static void a_hint_is_told_from_its_error_and_back(void **state UNUSED)
{
    AUTO(findings_release) struct findings findings = FINDINGS_INIT;
    struct err err = {0}, again = {0};
    (void)err_set(&err, ERR_RETRY, "no answer");
    findings_add_err(&findings, "away", &err);
    assert_string_equal(findings.items[0].text, "no answer");
    assert_string_equal(findings.items[0].hint, "");
    (void)err_hint(&err, "wait; then try again");
    findings_add_err(&findings, "away", &err);
    assert_string_equal(findings.items[1].text, "no answer");
    assert_string_equal(findings.items[1].hint, "wait; then try again");
    assert_false(finding_err(&findings.items[1], &again));
    assert_int_equal(again.kind, ERR_RETRY);
    assert_string_equal(again.text, err.text);
}

static void a_cause_can_be_moved_before_what_follows(void **state UNUSED)
{
    AUTO(findings_release) struct findings findings = FINDINGS_INIT;
    static const char *const codes[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        findings_add(&findings, i % 2 ? FINDING_WARNING : FINDING_ERROR, codes[i], str_dup(""),
                     str_dup(""));
    findings_move_last(&findings, 1);
    assert_string_equal(findings.items[0].code, "a");
    assert_string_equal(findings.items[1].code, "d");
    assert_string_equal(findings.items[3].code, "c");
    assert_int_equal(findings_count(&findings, FINDING_ERROR), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_minors_are_those_of_november_2026),
        cmocka_unit_test(a_hint_is_told_from_its_error_and_back),
        cmocka_unit_test(a_cause_can_be_moved_before_what_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
