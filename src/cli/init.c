/* trunkline init, trunkline tear-down: before and after a pipeline's life. */
#include "base/log.h"
#include "cli/commands.h"
#include "pipeline/init.h"

int cmd_init(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_INIT, argc, argv, &code))
        return code;
    if (pipeline_init(&settings, &err)) {
        (void)printf("SUCCESS  %s initialisation complete\n", program);
        return 0;
    }
    log_err(LOG_ERROR, &err);
    return err_exit_code(&err);
}

int cmd_tear_down(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_TEAR_DOWN, argc, argv, &code))
        return code;
    if (pipeline_tear_down(&settings, stdout, &err)) {
        (void)printf("SUCCESS  %s tear down complete\n", program);
        return 0;
    }
    log_err(LOG_ERROR, &err);
    return err_exit_code(&err);
}
