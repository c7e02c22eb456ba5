/* Stop request. See stop.h. */
#include "base/stop.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct stop {
    int fd;
    atomic_bool raised;
};

struct stop *stop_new(void)
{
    struct stop *stop = mem_alloc(sizeof(*stop));
    stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop->fd < 0)
        abort();
    return stop;
}

void stop_free(struct stop **stop)
{
    if (!*stop)
        return;
    (void)close((*stop)->fd);
    free(*stop);
    *stop = NULL;
}

void stop_raise(struct stop *stop)
{
    uint64_t one = 1;
    atomic_store(&stop->raised, true);
    if (write(stop->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        abort();
}

bool stop_raised(const struct stop *stop)
{
    return stop && atomic_load(&stop->raised);
}

int stop_fd(const struct stop *stop)
{
    return stop ? stop->fd : -1;
}

bool stop_wait(const struct stop *stop, int timeout_ms)
{
    struct pollfd pfd = {.fd = stop_fd(stop), .events = POLLIN};
    int64_t until = clock_ms() + timeout_ms;
    while (!stop_raised(stop)) {
        int64_t left = until - clock_ms();
        if (left <= 0)
            return false;
        (void)poll(&pfd, 1, (int)left);
    }
    return true;
}
