/* How far the target is behind in time: when was the durable position last the source's end?
 * Samples of that end are kept until the position has passed them. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

enum { FRESHNESS_SAMPLES = 256, FRESHNESS_TIME = 40 };

struct freshness_sample {
    uint64_t lsn;            /* the source's end of WAL … */
    char at[FRESHNESS_TIME]; /* … at this time of its own clock, as the server prints it */
};

struct freshness {
    struct freshness_sample samples[FRESHNESS_SAMPLES]; /* by time; lsn never falls */
    size_t count;
};

#define FRESHNESS_INIT ((struct freshness){.count = 0})

/* Adds a sample. When there is no more room, every second one is given up: the longer the target
 * is behind, the less the seconds matter. */
void freshness_note(struct freshness *freshness, uint64_t lsn, const char *at);

/* The newest sample at or before lsn; those before it are dropped. NULL: there is none. Borrowed
 * until the next call. */
const char *freshness_ask(struct freshness *freshness, uint64_t lsn) MUST_USE;
