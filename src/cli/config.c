/* `trunkline config print`: every setting in force and where it came from. Connects to nothing. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"

int cmd_config(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    struct err err = {0};
    bool has_print = argc > 1 && strcmp(argv[1], "print") == 0;
    int skipped = has_print ? 1 : 0;
    argv[skipped] = argv[0]; /* the options' own first argument */
    int code = 0;
    if (!command_begin(&settings, COMMAND_CONFIG, argc - skipped, argv + skipped, &code))
        return code;
    if (!has_print) {
        (void)err_set(&err, ERR_CONFIG, "config needs to be told what to do");
        (void)err_hint(&err, "trunkline config print");
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    settings_print(&settings, COMMAND_CONFIG, settings.json, stdout);
    return 0;
}
