/* The table of commands: main() calls them by it, help and reference are made from it. */
#include "cli/commands.h"

#include <string.h>

#include "base/fault.h"
#include "base/macros.h"

/* The link's name stands for trunkline's version all the same. */
static int cmd_version(const char *program UNUSED, int argc UNUSED, char **argv UNUSED)
{
    (void)printf("trunkline %s\n", TRUNKLINE_VERSION);
    return 0;
}

#ifdef FAULT_POINTS
static int cmd_faults(const char *program UNUSED, int argc UNUSED, char **argv UNUSED)
{
    fault_list();
    return 0;
}
#endif

const struct command_row command_table[] = {
    {.name = "init",
     .run = cmd_init,
     .command = COMMAND_INIT,
     .usage = "--source URL [--slot NAME] [OPTION]...",
     .summary = "make what following needs on the source",
     .text = "Makes a schema for the program's own state, publications for the tables and,\n"
             "last, the replication slot, which holds the WAL from then on. Can be repeated.\n"
             "`run` in the mode replication begins where the slot was made; with a copy no\n"
             "init is needed."},
    {.name = "run",
     .run = cmd_run,
     .command = COMMAND_RUN,
     .usage = "--source URL --target URL [OPTION]...",
     .summary = "copy a database, then follow it until it is told to stop",
     .text = "Copies schema and rows of a live PostgreSQL database into an empty one, then\n"
             "applies every committed change, exactly once. Started again, it goes on where it\n"
             "was. SIGTERM and SIGINT end it in good order; SIGHUP makes it read the log level\n"
             "again from file and environment."},
    {.name = "snapshot",
     .run = cmd_snapshot,
     .command = COMMAND_SNAPSHOT,
     .usage = "--source URL --target URL [OPTION]...",
     .summary = "copy a database once and leave nothing behind",
     .text = "Copies schema and rows as they are at one moment. Needs SELECT on the source and\n"
             "no init, and makes nothing there. A snapshot that did not end is started again\n"
             "from nothing; with --resumable it goes on: until its end it holds a slot on the\n"
             "source then, as run does, and needs what run needs."},
    {.name = "tear-down",
     .also = "destroy",
     .run = cmd_tear_down,
     .command = COMMAND_TEAR_DOWN,
     .usage = "--source URL [--target URL] [OPTION]...",
     .summary = "remove what init and run made: slot, publications, state",
     .text =
         "Removes the slot, the publications and the program's schema from the source, sets\n"
         "replica identities back, and removes its state from the target when that is named.\n"
         "Says what was removed. The copied tables stay, and a schema that is not trunkline's."},
    {.name = "plan",
     .run = cmd_plan,
     .command = COMMAND_PLAN,
     .usage = "--source URL --target URL [OPTION]...",
     .summary = "show what would be copied and made, and what is left out",
     .text = "Reads both servers and changes nothing: tables with sizes, parts and format, what "
             "would be\n"
             "made on either side, what is left out and why."},
    {.name = "status",
     .run = cmd_status,
     .command = COMMAND_STATUS,
     .usage = "--source URL [--target URL] [OPTION]...",
     .summary = "show what a pipeline is doing, and what it waits for",
     .text = "Asks both servers: slot, phase, lag, each table, the held snapshot, who holds\n"
             "something up. Exit code 0: all is well, 1: the slot is missing, lost or beyond\n"
             "max_slot_wal, a server cannot be reached, the settings are wrong; with --running\n"
             "also when no engine runs."},
    {.name = "check",
     .run = cmd_check,
     .command = COMMAND_CHECK,
     .usage = "--source URL --target URL [OPTION]...",
     .summary = "say what would stop run, and what mends it",
     .text = "Looks at both servers for all that run would refuse, and for what is worth\n"
             "knowing before it. Each finding comes with the SQL or the setting that mends it.\n"
             "Nothing is changed. Exit code 0: nothing found, 1: something found."},
    {.name = "verify",
     .run = cmd_verify,
     .command = COMMAND_VERIFY,
     .usage = "--source URL --target URL [OPTION]...",
     .summary = "compare source and target, row by row",
     .text = "Compares every table by row count and checksums, and names the first keys that\n"
             "differ. While an engine follows the source, both may be written to: what differs is\n"
             "looked at again until it is proven equal or different. With --schema the catalogs\n"
             "as well: what differs is printed as SQL for the target, all else as comments. Exit\n"
             "code 0: equal, 1: different, 3: could not finish, or rows did not settle."},
    {.name = "demo",
     .run = cmd_demo,
     .command = COMMAND_DEMO,
     .usage = "[OPTION]...",
     .summary = "copy and follow a shop database between two throwaway clusters",
     .text = "Makes two clusters in a temporary directory, copies one to the other while four\n"
             "sessions write, compares them, and removes everything."},
    {.name = "config",
     .run = cmd_config,
     .command = COMMAND_CONFIG,
     .usage = "print [OPTION]...",
     .summary = "show every setting and where it comes from",
     .text = "Prints the settings in force, with passwords hidden, and the origin of each:\n"
             "default, file and line, environment or flag. Flags win over the environment,\n"
             "which wins over the file."},
    {.name = "help",
     .also = "-h",
     .run = cmd_help,
     .usage = "[COMMAND]",
     .summary = "show this, or the options of a command",
     .text = "Shows all commands, or one command's options."},
    {.name = "version",
     .also = "-V",
     .run = cmd_version,
     .usage = "",
     .summary = "show the version",
     .text = "Shows the version."},
    {.name = "reference", .run = cmd_reference},
#ifdef FAULT_POINTS
    {.name = "faults", .run = cmd_faults},
#endif
};

const size_t command_count = COUNT_OF(command_table);

/* --help and --version are typed where a command stands. */
const struct command_row *command_find(const char *name)
{
    const char *bare =
        strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0 ? name + 2 : name;
    for (size_t i = 0; i < command_count; i++) {
        const struct command_row *row = &command_table[i];
        if (strcmp(row->name, bare) == 0 || (row->also && strcmp(row->also, bare) == 0))
            return row;
    }
    return NULL;
}
