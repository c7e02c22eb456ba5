/* `trunkline status`: what the pipeline is doing. Exit code 0: all is well, 1: it is not. */
#include <stdio.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"
#include "status/status.h"

int cmd_status(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    AUTO(status_release) struct status status = {0};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_STATUS, argc, argv, &code))
        return code ? 1 : 0; /* settings that are wrong are one more thing that is not well */
    if (!status_read(&settings, &status, &err)) {
        log_err(LOG_ERROR, &err);
        return 1;
    }
    if (settings.json)
        status_print_json(&status, stdout);
    else
        status_print(&status, stdout);
    return status.problems.count ? 1 : 0;
}
