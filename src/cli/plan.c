/* `trunkline plan`: what a run would do. Changes nothing. */
#include <stdio.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"
#include "status/preview.h"

int cmd_plan(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    AUTO(preview_release) struct preview preview = {0};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_PLAN, argc, argv, &code))
        return code;
    if (!preview_read(&settings, &preview, &err)) {
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    if (settings.json)
        preview_print_json(&preview, stdout);
    else
        preview_print(&preview, stdout);
    return 0;
}
