/* Where the demo lives. See demo_place.h. The directory is closed to all but the servers' user (and
 * root): what is in it, the password too, is nobody else's. */
#include "demo/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

/* Longer, and the servers' sockets would not fit into sun_path. */
enum { MAX_TMPDIR = 60 };

static bool has_program(const char *dir, const char *name)
{
    AUTO(str_free) char *path = str_fmt("%s/%s", dir, name);
    return access(path, X_OK) == 0;
}

static bool has_programs(const char *dir)
{
    return has_program(dir, "initdb") && has_program(dir, "postgres") &&
           has_program(dir, "pg_dump") && has_program(dir, "pg_restore");
}

/* Debian's directories, the newest version first in line; NULL when none is complete. */
static char *find_debian(void)
{
    static const char prefix[] = "/usr/lib/postgresql/";
    glob_t found = {0};
    char *best = NULL;
    long best_version = 0;
    if (glob("/usr/lib/postgresql/[0-9]*/bin", GLOB_ONLYDIR, NULL, &found) != 0)
        found.gl_pathc = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        long version = strtol(found.gl_pathv[i] + sizeof(prefix) - 1, NULL, 10);
        if (version > best_version && has_programs(found.gl_pathv[i])) {
            str_set(&best, str_dup(found.gl_pathv[i]));
            best_version = version;
        }
    }
    globfree(&found);
    return best;
}

static char *find_on_path(void)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t len = strcspn(at, ":");
        AUTO(str_free) char *dir = str_dup_n(at, len);
        if (len > 0 && has_programs(dir))
            return realpath(dir, NULL);
        at += len + (at[len] == ':');
    }
    return NULL;
}

static bool find_programs(struct place *place, const char *bindir, struct err *err)
{
    if (*bindir)
        place->bindir = has_programs(bindir) ? realpath(bindir, NULL) : NULL;
    else
        place->bindir = find_debian();
    if (!place->bindir && !*bindir)
        place->bindir = find_on_path();
    if (place->bindir)
        return true;
    (void)err_set(err, ERR_CONFIG, "no PostgreSQL server programs in %s",
                  *bindir ? bindir : "/usr/lib/postgresql/*/bin or on PATH");
    return err_hint(err, "install a server (Debian: apt-get install postgresql-15), or name the "
                         "directory of initdb with --pg-bindir");
}

/* Servers refuse to run as root. */
static bool find_user(struct place *place, struct err *err)
{
    place->uid = geteuid();
    place->gid = getegid();
    if (place->uid != 0)
        return true;
    const struct passwd *user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody");
    if (!user || user->pw_uid == 0)
        return err_set(err, ERR_CONFIG,
                       "a server cannot run as root, and there is neither a user postgres nor "
                       "nobody; hint: run the demo as another user");
    place->uid = user->pw_uid;
    place->gid = user->pw_gid;
    return true;
}

static bool make_dir(struct place *place, struct err *err)
{
    const char *parent = getenv("TMPDIR");
    bool is_fit = parent && *parent == '/' && strlen(parent) <= MAX_TMPDIR;
    AUTO(str_free) char *dir = str_fmt("%s/trunkline-demo-XXXXXX", is_fit ? parent : "/tmp");
    if (!mkdtemp(dir))
        return err_set(err, ERR_CONFIG, "could not make the directory %s: %s", dir,
                       strerror(errno));
    place->dir = TAKE(dir);
    if (place->uid != geteuid() && chown(place->dir, place->uid, place->gid) != 0)
        return err_set(err, ERR_FATAL, "could not give %s to its user: %s", place->dir,
                       strerror(errno));
    return true;
}

static bool make_password(struct place *place, struct err *err)
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_set(err, ERR_FATAL, "could not get random bytes: %s", strerror(errno));
    AUTO(buf_release) struct buf text = BUF_INIT;
    for (size_t i = 0; i < sizeof(bytes); i++)
        buf_fmt(&text, "%02x", bytes[i]);
    place->password = buf_take(&text);
    return true;
}

bool place_open(struct place *place, const char *bindir, struct err *err)
{
    return find_programs(place, bindir, err) && find_user(place, err) &&
           make_password(place, err) && make_dir(place, err);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int kind UNUSED,
                      struct FTW *at UNUSED)
{
    (void)remove(path);
    return 0;
}

void place_remove(struct place *place)
{
    if (place->dir)
        (void)nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void place_release(struct place *place)
{
    str_free(&place->dir);
    str_free(&place->bindir);
    str_wipe(&place->password);
}

char *place_path(const struct place *place, const char *name)
{
    return str_fmt("%s/%s", place->dir, name);
}

bool place_write(const struct place *place, const char *name, const char *text, struct err *err)
{
    AUTO(str_free) char *path = place_path(place, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool is_good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
                   (place->uid == geteuid() || fchown(fd, place->uid, place->gid) == 0);
    if (!is_good)
        (void)err_set(err, ERR_FATAL, "could not write %s: %s", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return is_good;
}

int place_free_port(struct err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    union {
        struct sockaddr_in *in;
        struct sockaddr *any;
    } at = {&address};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_bound = fd >= 0 && bind(fd, at.any, len) == 0 && getsockname(fd, at.any, &len) == 0;
    if (!is_bound)
        (void)err_set(err, ERR_FATAL, "could not find a free port: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return is_bound ? ntohs(address.sin_port) : 0;
}
