/* The temporary directory. See work_dir.h. Its name bears our pid, so that the next start finds
 * what a killed one has left. */
#include "pipeline/work_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

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

static bool is_orphan(int dir_fd, const char *name)
{
    struct stat st;
    int pid = 0;
    return sscanf(name, "trunkline-%d-", &pid) == 1 && pid > 0 && kill(pid, 0) != 0 &&
           errno == ESRCH && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static void remove_orphans(const char *base)
{
    DIR *dir = opendir(base);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (is_orphan(dirfd(dir), entry->d_name)) {
            char *path = str_fmt("%s/%s", base, entry->d_name);
            work_dir_remove(&path);
        }
    if (dir)
        (void)closedir(dir);
}

bool work_dir_make(char **ret_path, struct err *err)
{
    const char *base = getenv("TMPDIR");
    if (!base || !base[0])
        base = "/tmp";
    remove_orphans(base);
    AUTO(str_free) char *path = str_fmt("%s/trunkline-%d-XXXXXX", base, (int)getpid());
    if (!mkdtemp(path)) {
        (void)err_set(err, ERR_CONFIG, "could not make a temporary directory %s: %s", path,
                      strerror(errno));
        return err_hint(err, "set TMPDIR to a directory that can be written to");
    }
    *ret_path = TAKE(path);
    return true;
}
