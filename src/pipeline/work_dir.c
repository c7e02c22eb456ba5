/* The temporary directory. See work_dir.h. */
#include "pipeline/work_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

bool work_dir_make(char **ret_path, struct err *err)
{
    const char *base = getenv("TMPDIR");
    AUTO(str_free) char *path = str_fmt("%s/trunkline-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(path)) {
        (void)err_set(err, ERR_CONFIG, "could not make a temporary directory %s: %s", path,
                      strerror(errno));
        return err_hint(err, "set TMPDIR to a directory that can be written to");
    }
    *ret_path = TAKE(path);
    return true;
}

void work_dir_remove(char **path)
{
    if (!*path)
        return;
    DIR *dir = opendir(*path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        (void)closedir(dir);
    (void)rmdir(*path);
    str_free(path);
}
