/* `trunkline help`: the commands, and each one's options from the table of settings. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"

static void print_overview(const char *program, FILE *out)
{
    (void)fprintf(out,
                  "trunkline copies a live PostgreSQL database and follows it, exactly once.\n\n"
                  "Usage: %s COMMAND [OPTION]...\n\nCommands:\n",
                  program);
    for (size_t i = 0; i < command_count; i++)
        if (command_table[i].summary)
            (void)fprintf(out, "  %-10s  %s\n", command_table[i].name, command_table[i].summary);
    (void)fprintf(out,
                  "\nExit codes: 0 done, 1 failed, 2 configuration, 3 not finished.\n"
                  "`%s help COMMAND` shows a command's options.\n",
                  program);
}

void help_print(const char *program, const char *command, FILE *out)
{
    const struct command_row *row = command ? command_find(command) : NULL;
    if (!row || !row->summary) {
        print_overview(program, out);
        return;
    }
    (void)fprintf(out, "Usage: %s %s%s%s\n", program, row->name, *row->usage ? " " : "",
                  row->usage);
    if (row->also && row->also[0] != '-')
        (void)fprintf(out, "Also called: %s\n", row->also);
    (void)fprintf(out, "\n%s\n", row->text);
    if (row->command) {
        (void)fputs("\nOptions:\n", out);
        settings_help(row->command, out);
    }
}

int cmd_help(const char *program, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (argc > 2 || (name && !command_find(name))) {
        struct err err = {0};
        (void)err_set(&err, ERR_CONFIG, "unknown command \"%s\"", argc > 2 ? argv[2] : name);
        (void)err_hint(&err, "%s help lists the commands", program);
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    help_print(program, name, stdout);
    return 0;
}
