/* `trunkline help`: the commands, and each one's options from the table of settings. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "conf/settings.h"

struct command_help {
    const char *name;
    const char *usage; /* what stands behind the name */
    const char *summary;
    const char *text;
    unsigned command; /* 0: without options of the table */
};

static const struct command_help commands[] = {
    {"run", "--source URL --target URL [OPTION]...",
     "copy a database, then follow it until it is told to stop",
     "Copies schema and rows of a live PostgreSQL database into an empty one, then applies every\n"
     "committed change, exactly once. Started again, it goes on where it was. SIGTERM and SIGINT\n"
     "end it in good order.",
     COMMAND_RUN},
    {"tear-down", "--source URL [--target URL] [OPTION]...",
     "remove what run made: slot, publication, state",
     "Removes the slot and the publication from the source and trunkline's own schema from the\n"
     "target, and says what was removed. The copied tables stay.",
     COMMAND_TEAR_DOWN},
    {"verify", "--source URL --target URL [OPTION]...", "compare source and target, row by row",
     "Compares every table by row count and checksums, and names the first keys that differ.\n"
     "Both databases must be at rest. Exit code 0: equal, 1: different, 3: could not finish.",
     COMMAND_VERIFY},
    {"demo", "[OPTION]...", "copy and follow a shop database between two throwaway clusters",
     "Makes two clusters in a temporary directory, copies one to the other while four sessions\n"
     "write, compares them, and removes everything.",
     COMMAND_DEMO},
    {"config", "print [OPTION]...", "show every setting and where it comes from",
     "Prints the settings in force, with passwords hidden, and the origin of each: default, file\n"
     "and line, environment or flag. Flags win over the environment, which wins over the file.",
     COMMAND_CONFIG},
    {"help", "[COMMAND]", "show this, or the options of a command",
     "Shows all commands, or one command's options.", 0},
    {"version", "", "show the version", "Shows the version.", 0},
};

static void print_overview(FILE *out)
{
    (void)fputs("trunkline copies a live PostgreSQL database and follows it, exactly once.\n\n"
                "Usage: trunkline COMMAND [OPTION]...\n\nCommands:\n",
                out);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        (void)fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\nExit codes: 0 done, 1 failed, 2 configuration, 3 not finished.\n"
                "`trunkline help COMMAND` shows a command's options.\n",
                out);
}

static const struct command_help *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

void help_print(const char *command, FILE *out)
{
    const struct command_help *help = command ? find(command) : NULL;
    if (!help) {
        print_overview(out);
        return;
    }
    (void)fprintf(out, "Usage: trunkline %s%s%s\n\n%s\n", help->name, *help->usage ? " " : "",
                  help->usage, help->text);
    if (help->command) {
        (void)fputs("\nOptions:\n", out);
        settings_help(help->command, out);
    }
}

int cmd_help(const char *program UNUSED, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0))
        name = "help";
    if (argc > 2 || (name && !find(name))) {
        struct err err = {0};
        (void)err_set(&err, ERR_CONFIG, "unknown command \"%s\"", argc > 2 ? argv[2] : name);
        (void)err_hint(&err, "trunkline help lists the commands");
        log_err(LOG_ERROR, &err);
        return err_exit_code(&err);
    }
    help_print(name, stdout);
    return 0;
}
