/* Entry: picks the command. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

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
    const char *program = program_name(argc > 0 ? argv[0] : "");
    if (argc < 2) {
        help_print(program, NULL, stderr);
        return 2;
    }
    const struct command_row *row = command_find(argv[1]);
    if (row)
        return row->run(program, argc - 1, argv + 1);
    (void)fprintf(stderr, "%s: unknown command \"%s\"; hint: %s help\n", program, argv[1], program);
    return 2;
}
