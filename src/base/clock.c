/* Time. See clock.h. */
#include "base/clock.h"

#include <time.h>

enum { PG_EPOCH_S = 946684800 };

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t clock_pg_us(void)
{
    return read_us(CLOCK_REALTIME) - (int64_t)PG_EPOCH_S * 1000000;
}
