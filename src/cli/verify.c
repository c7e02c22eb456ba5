/* `trunkline verify`: settings, signals, exit code. Main thread. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stop.h"
#include "cli/commands.h"
#include "conf/settings.h"
#include "verify/verify.h"

enum { EXIT_EQUAL, EXIT_DIFFERENT, EXIT_CONFIG, EXIT_NOT_FINISHED };

static struct stop *signal_stop; /* borrowed: cmd_verify's; set before the handlers are */

static void raise_stop(int signal_number UNUSED)
{
    int saved = errno;
    stop_raise(signal_stop); /* a write() to an eventfd */
    errno = saved;
}

static void stop_on_signals(struct stop *stop)
{
    struct sigaction action = {.sa_handler = raise_stop};
    signal_stop = stop;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static void ignore_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    signal_stop = NULL;
}

static int run(const struct settings *settings, struct err *err)
{
    AUTO(stop_free) struct stop *stop = stop_new();
    bool is_equal = false;
    stop_on_signals(stop);
    bool is_finished =
        verify_run(settings, stop, stdout, isatty(STDERR_FILENO) ? stderr : NULL, &is_equal, err);
    ignore_signals();
    if (is_finished)
        return is_equal ? EXIT_EQUAL : EXIT_DIFFERENT;
    log_err(LOG_ERROR, err);
    return err->kind == ERR_CONFIG ? EXIT_CONFIG : EXIT_NOT_FINISHED;
}

int cmd_verify(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_VERIFY, argc, argv, &code))
        return code;
    return run(&settings, &err);
}
