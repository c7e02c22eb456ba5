/* Fault points. See fault.h. Passages are counted per point, process-wide. */
#include "base/fault.h"

#include <stdio.h>

static const struct {
    const char *name, *where;
} points[] = {
#define FAULT(name, where) {name, where},
#include "base/fault.def"
#undef FAULT
};

void fault_list(void)
{
    for (size_t i = 0; i < COUNT_OF(points); i++)
        (void)printf("%s\t%s\n", points[i].name, points[i].where);
}

#ifdef FAULT_POINTS
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

static atomic_int passages[COUNT_OF(points)];

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    (void)nanosleep(&ts, NULL);
}

static void wait_for_file(const char *path)
{
    AUTO(str_free) char *reached = str_fmt("%s.reached", path);
    int fd = open(reached, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        (void)close(fd);
    while (access(path, F_OK) != 0)
        pause_ms(5);
}

static bool act(const char *name, const char *action, struct err *err)
{
    if (strcmp(action, "kill") == 0)
        (void)kill(getpid(), SIGKILL);
    if (strncmp(action, "delay:", 6) == 0)
        pause_ms(strtol(action + 6, NULL, 10));
    if (strncmp(action, "wait:", 5) == 0)
        wait_for_file(action + 5);
    if (strcmp(action, "error") == 0)
        return err_set(err, ERR_FATAL, "fault point %s", name);
    if (strcmp(action, "disconnect") == 0)
        return err_set(err, ERR_RETRY, "fault point %s: connection lost", name);
    if (strcmp(action, "full") == 0) {
        (void)err_set(err, ERR_RETRY, "fault point %s: the disk is full", name);
        memcpy(err->sqlstate, "53100", sizeof(err->sqlstate));
        return false;
    }
    return true;
}

/* One "name=action[@n]" of the environment. */
static bool consider(char *armed, const char *name, int passage, struct err *err)
{
    char *action = strchr(armed, '=');
    if (!action)
        return true;
    *action++ = '\0';
    if (strcmp(armed, name) != 0)
        return true;
    char *at = strrchr(action, '@');
    long when = 1;
    if (at) {
        *at++ = '\0';
        when = strcmp(at, "*") == 0 ? passage : strtol(at, NULL, 10);
    }
    return when != passage || act(name, action, err);
}

static int count_passage(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(points); i++)
        if (strcmp(points[i].name, name) == 0)
            return atomic_fetch_add(&passages[i], 1) + 1;
    assert(!"fault point is not in fault.def");
    return 0;
}

bool fault_point(const char *name, struct err *err)
{
    int passage = count_passage(name);
    const char *armed = getenv("TRUNKLINE_FAULT");
    if (!armed)
        return true;
    AUTO(str_free) char *copy = str_dup(armed);
    for (char *rest = copy, *one = strsep(&rest, ","); one; one = strsep(&rest, ","))
        if (!consider(one, name, passage, err))
            return false;
    return true;
}

int64_t fault_limit_ms(int64_t own)
{
    const char *limit = getenv("TRUNKLINE_FAULT_LIMIT_MS");
    return limit ? strtol(limit, NULL, 10) : own;
}
#endif
