/* The copy's bound on bytes a second. See rate.h. Copier threads.
 *
 * All copiers spend from one account: it says until when what was read is paid for. Who takes it
 * into the future waits for that moment, outside the lock. An idle time is not made up for. */
#include "pipeline/rate.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct rate {
    pthread_mutex_t lock;
    double bytes_per_us;
    double paid_until_us;
};

struct rate *rate_new(int64_t bytes_per_second)
{
    if (bytes_per_second == 0)
        return NULL;
    struct rate *rate = mem_alloc(sizeof(*rate));
    (void)pthread_mutex_init(&rate->lock, NULL);
    rate->bytes_per_us = (double)bytes_per_second / 1e6;
    return rate;
}

void rate_free(struct rate **rate)
{
    if (*rate)
        (void)pthread_mutex_destroy(&(*rate)->lock);
    free(*rate);
    *rate = NULL;
}

bool rate_spend(struct rate *rate, size_t bytes, const struct stop *stop, struct err *err)
{
    if (!rate)
        return true;
    (void)pthread_mutex_lock(&rate->lock);
    double now_us = (double)clock_us();
    rate->paid_until_us = MAX_OF(rate->paid_until_us, now_us) + (double)bytes / rate->bytes_per_us;
    double wait_ms = (rate->paid_until_us - now_us) / 1e3;
    (void)pthread_mutex_unlock(&rate->lock);
    /* The rest of a millisecond is waited for with the next bytes. */
    return !stop_wait(stop, (int)MIN_OF(wait_ms, (double)INT_MAX)) ||
           err_set(err, ERR_STOP, "interrupted");
}
