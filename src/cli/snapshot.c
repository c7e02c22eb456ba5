/* trunkline snapshot: copies once and leaves nothing behind. */
#include "cli/commands.h"
#include "conf/settings.h"
#include "pipeline/run.h"

int cmd_snapshot(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    int code = 0;
    if (!command_begin(&settings, COMMAND_SNAPSHOT, argc, argv, &code))
        return code;
    return run_pipeline(&settings);
}
