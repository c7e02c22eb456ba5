/* What every command with settings begins with. */
#include "base/log.h"
#include "cli/commands.h"

bool command_begin(struct settings *settings, unsigned command, int argc, char **argv,
                   int *ret_code)
{
    struct err err = {0};
    if (!settings_read(settings, command, argc, argv, &err)) {
        log_err(LOG_ERROR, &err);
        *ret_code = err_exit_code(&err);
        return false;
    }
    if (settings->wants_help) {
        help_print(settings->program, argv[0], stdout);
        *ret_code = 0;
        return false;
    }
    log_setup(settings->log_level, settings->log_format);
    return true;
}
