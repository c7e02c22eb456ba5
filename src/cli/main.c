/* Entry: picks the command. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/macros.h"
#include "cli/commands.h"

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

static const struct {
    const char *name;
    int (*run)(const char *program, int argc, char **argv);
} commands[] = {
    {"run", cmd_run},           {"tear-down", cmd_tear_down}, {"verify", cmd_verify},
    {"demo", cmd_demo},         {"config", cmd_config},       {"help", cmd_help},
    {"version", cmd_version},   {"--help", cmd_help},         {"-h", cmd_help},
    {"--version", cmd_version}, {"-V", cmd_version},
#ifdef FAULT_POINTS
    {"faults", cmd_faults},
#endif
};

/* A link of the name pgstream gives its names to slot, schema and messages. */
static const char *program_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, "pgstream") == 0 ? "pgstream" : "trunkline";
}

int main(int argc, char **argv)
{
    /* Batches are made in one thread and freed in another, which shreds a heap: their blocks come
     * from the system and go back to it (a fixed threshold; by itself it would grow). */
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    if (argc < 2) {
        help_print(NULL, stderr);
        return 2;
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(program_name(argv[0]), argc - 1, argv + 1);
    (void)fprintf(stderr, "trunkline: unknown command \"%s\"; hint: trunkline help\n", argv[1]);
    return 2;
}
