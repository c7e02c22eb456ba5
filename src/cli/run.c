/* trunkline run: copies a live database and follows it. */
#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"
#include "pipeline/run.h"

int cmd_run(int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = SETTINGS_INIT;
    struct err err = {0};
    if (!settings_read(&settings, COMMAND_RUN, argc, argv, &err)) {
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    if (settings.wants_help) {
        help_print(argv[0], stdout);
        return 0;
    }
    log_setup(settings.log_level, settings.log_format);
    return run_pipeline(&settings);
}
