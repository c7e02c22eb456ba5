/* Finding pg_dump and pg_restore. See tools.h. pg_dump refuses servers newer than itself, and only
 * a pg_restore as new reads its dump. The source's own version is the best: it knows all that the
 * server keeps in its catalog (minor versions of 2026-11 mark columns with an option that others
 * take for a setting), newer servers accept what it writes, and older ones most of it. */
#include "schema/tools.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/strv.h"
#include "schema/child.h"

enum { OLDEST_MAJOR = 14 };

/* The major number in "pg_dump (PostgreSQL) 15.20 (Debian …)"; 0 when it cannot be run. */
static int major_of(const char *path)
{
    AUTO(buf_release) struct buf output = BUF_INIT;
    const char *const argv[] = {path, "--version", NULL};
    struct child_spec spec = {.argv = argv};
    struct err ignored;
    if (access(path, X_OK) != 0 || !child_run(&spec, &output, &ignored))
        return 0;
    const char *number = strstr(buf_text(&output), ") ");
    return number ? (int)strtol(number + 2, NULL, 10) : 0;
}

static void add_path_folders(struct strv *folders)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        if (len)
            strv_take(folders, str_dup_n(path, len));
        path += len + (path[len] == ':');
    }
}

static void add_debian_folders(struct strv *folders)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            strv_add(folders, found.gl_pathv[i]);
    globfree(&found);
}

/* Of those that are as new as the source the oldest, else the newest, for the error. Equal: the one
 * looked at first. */
static bool is_better(int needed, int major, int than)
{
    bool both_serve = major >= needed && than >= needed;
    return both_serve ? major < than : major > than;
}

static void consider(const char *folder, int needed, struct schema_tools *best)
{
    struct schema_tools tools = {
        .pg_dump = str_fmt("%s/pg_dump", folder),
        .pg_restore = str_fmt("%s/pg_restore", folder),
    };
    int dump_major = major_of(tools.pg_dump);
    int restore_major = dump_major ? major_of(tools.pg_restore) : 0;
    tools.major = MIN_OF(dump_major, restore_major);
    if (tools.major > 0 && dump_major == restore_major &&
        is_better(needed, tools.major, best->major)) {
        schema_tools_release(best);
        *best = tools;
    } else {
        schema_tools_release(&tools);
    }
}

/* From the last folder to the first, until the source's own version is found: nothing is better,
 * and each answer to --version costs a process or two. Debian's /usr/bin/pg_dump runs another
 * version for each server it is told of, so its answer says little: the programs under /usr/lib
 * come first. */
bool schema_tools_find(const char *bindir, int source_version, int target_version,
                       struct schema_tools *ret_tools, struct err *err)
{
    AUTO(strv_release) struct strv folders = STRV_INIT;
    AUTO(schema_tools_release) struct schema_tools best = SCHEMA_TOOLS_INIT;
    int needed = MAX_OF(source_version / 10000, OLDEST_MAJOR);
    if (bindir && *bindir) {
        strv_add(&folders, bindir);
    } else {
        add_path_folders(&folders);
        add_debian_folders(&folders);
    }
    for (size_t i = folders.count; i > 0 && best.major != needed; i--)
        consider(folders.items[i - 1], needed, &best);
    if (best.major >= needed) {
        *ret_tools = best;
        best = SCHEMA_TOOLS_INIT;
        return true;
    }
    if (best.major)
        (void)err_set(err, ERR_CONFIG,
                      "pg_dump and pg_restore %d in %s cannot serve a source of version %d and a "
                      "target of version %d: they must be %d or newer",
                      best.major, best.pg_dump, source_version / 10000, target_version / 10000,
                      needed);
    else
        (void)err_set(err, ERR_CONFIG, "cannot find pg_dump and pg_restore%s%s",
                      bindir && *bindir ? " in " : "", bindir ? bindir : "");
    return err_hint(err,
                    "install them (Debian: apt-get install postgresql-client-%d), or set pg_bindir "
                    "to the directory that holds them",
                    needed);
}

void schema_tools_release(struct schema_tools *tools)
{
    free(tools->pg_dump);
    free(tools->pg_restore);
    *tools = SCHEMA_TOOLS_INIT;
}
