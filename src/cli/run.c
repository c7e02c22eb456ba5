/* trunkline run: copies a live database and follows it. */
#include "cli/commands.h"
#include "conf/settings.h"
#include "pipeline/run.h"

int cmd_run(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    int code = 0;
    if (!command_begin(&settings, COMMAND_RUN, argc, argv, &code))
        return code;
    return run_pipeline(&settings);
}
