/* `trunkline check`: everything that a run would refuse, and what is worth knowing before it, at
 * once. Changes nothing. Main thread. */
#include <stdio.h>

#include "base/log.h"
#include "check/check.h"
#include "check/report.h"
#include "cli/commands.h"
#include "conf/settings.h"

enum { EXIT_FINDINGS = 1 };

int cmd_check(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    AUTO(check_release) struct check check = {0};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_CHECK, argc, argv, &code))
        return code;
    if (!check_run(&check, &settings, NULL, &err)) {
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    findings_print(&check.findings, settings.json, stdout);
    return check.findings.count ? EXIT_FINDINGS : 0;
}
