/* The commands. program is the name that the user called, argv[0] the command's; the result is the
 * exit code: 0 done, 1 failed, 2 configuration, 3 not finished. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "conf/settings.h"

int cmd_run(const char *program, int argc, char **argv);
int cmd_tear_down(const char *program, int argc, char **argv);
int cmd_verify(const char *program, int argc, char **argv);
int cmd_demo(const char *program, int argc, char **argv);
int cmd_config(const char *program, int argc, char **argv);
int cmd_help(const char *program, int argc, char **argv);

/* Reads the settings of a command (a bit) and sets the log up. False: the command is over (help
 * was shown, or a mistake logged), with *ret_code as its exit code. */
bool command_begin(struct settings *settings, unsigned command, int argc, char **argv,
                   int *ret_code);

/* The text of --help: one command's, or the overview when command is NULL or unknown. */
void help_print(const char *command, FILE *out);
