/* `trunkline config print`: every setting in force and where it came from. Connects to nothing. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"

int cmd_config(int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = SETTINGS_INIT;
    struct err err = {0};
    bool has_print = argc > 1 && strcmp(argv[1], "print") == 0;
    int skipped = has_print ? 1 : 0;
    argv[skipped] = argv[0]; /* the options' own first argument */
    if (!settings_read(&settings, COMMAND_CONFIG, argc - skipped, argv + skipped, &err)) {
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    if (settings.wants_help) {
        help_print(argv[0], stdout);
        return 0;
    }
    if (!has_print) {
        (void)err_set(&err, ERR_CONFIG, "config needs to be told what to do");
        (void)err_hint(&err, "trunkline config print");
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    settings_print(&settings, COMMAND_CONFIG, settings.json, stdout);
    return 0;
}
