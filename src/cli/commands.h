/* The commands. argv[0] is the command's name; the result is the exit code: 0 done, 1 failed,
 * 2 configuration, 3 not finished. */
#pragma once

#include <stdio.h>

int cmd_run(int argc, char **argv);
int cmd_tear_down(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* The text of --help: one command's, or the overview when command is NULL or unknown. */
void help_print(const char *command, FILE *out);
