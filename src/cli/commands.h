/* The commands. program is the name that the user called, argv[0] the command's; the result is the
 * exit code: 0 done, 1 failed, 2 configuration, 3 not finished. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/settings.h"

int cmd_init(const char *program, int argc, char **argv);
int cmd_run(const char *program, int argc, char **argv);
int cmd_snapshot(const char *program, int argc, char **argv);
int cmd_tear_down(const char *program, int argc, char **argv);
int cmd_plan(const char *program, int argc, char **argv);
int cmd_status(const char *program, int argc, char **argv);
int cmd_check(const char *program, int argc, char **argv);
int cmd_verify(const char *program, int argc, char **argv);
int cmd_demo(const char *program, int argc, char **argv);
int cmd_config(const char *program, int argc, char **argv);
int cmd_reference(const char *program, int argc, char **argv);
int cmd_help(const char *program, int argc, char **argv);

/* One command, as main() calls it and as help and reference describe it. */
struct command_row {
    const char *name;
    const char *also;    /* another name for it, or NULL */
    const char *usage;   /* what stands behind the name */
    const char *summary; /* NULL: not for users, left out of help and reference */
    const char *text;
    int (*run)(const char *program, int argc, char **argv);
    unsigned command; /* its bit in the table of settings; 0: without options of the table */
};

extern const struct command_row command_table[];
extern const size_t command_count;

/* The row of a name or of its other name; NULL when there is none. */
const struct command_row *command_find(const char *name);

/* Reads the settings of a command (a bit) and sets the log up. False: the command is over (help
 * was shown, or a mistake logged), with *ret_code as its exit code. */
bool command_begin(struct settings *settings, unsigned command, int argc, char **argv,
                   int *ret_code);

/* The text of --help for a user who called `program`: one command's, or the overview when command
 * is NULL or unknown. */
void help_print(const char *program, const char *command, FILE *out);
