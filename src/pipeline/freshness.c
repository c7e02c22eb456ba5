/* The samples of the source's end. See freshness.h. */
#include "pipeline/freshness.h"

#include <stdio.h>
#include <string.h>

static void thin_out(struct freshness *freshness)
{
    size_t kept = 0;
    for (size_t i = 0; i < freshness->count; i += 2)
        freshness->samples[kept++] = freshness->samples[i];
    freshness->count = kept;
}

void freshness_note(struct freshness *freshness, uint64_t lsn, const char *at)
{
    if (freshness->count == FRESHNESS_SAMPLES)
        thin_out(freshness);
    struct freshness_sample *last =
        freshness->count ? &freshness->samples[freshness->count - 1] : NULL;
    if (!last || lsn > last->lsn)
        last = &freshness->samples[freshness->count++];
    last->lsn = lsn;
    (void)snprintf(last->at, sizeof(last->at), "%s", at);
}

const char *freshness_ask(struct freshness *freshness, uint64_t lsn)
{
    size_t passed = 0;
    while (passed < freshness->count && freshness->samples[passed].lsn <= lsn)
        passed++;
    if (!passed)
        return NULL;
    freshness->count -= passed - 1;
    memmove(freshness->samples, &freshness->samples[passed - 1],
            freshness->count * sizeof(freshness->samples[0]));
    return freshness->samples[0].at;
}
