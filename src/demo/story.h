/* The demo's acts, in their order. Owner: main thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "demo/cluster.h"
#include "demo/engine.h"
#include "demo/place.h"
#include "demo/reader.h"
#include "demo/shop.h"
#include "demo/show.h"
#include "demo/writers.h"
#include "conf/settings.h"

enum demo_side { DEMO_SOURCE, DEMO_TARGET, DEMO_SIDES };

struct demo {
    const struct settings *settings; /* borrowed */
    const struct stop *stop;         /* borrowed: Ctrl-C */
    struct show show;
    struct place place;
    struct cluster clusters[DEMO_SIDES];
    struct engine engine;
    struct writers *writers; /* owned */
    struct reader *reader;   /* owned */

    int64_t commits_before; /* of the writers, when the engine was started */
    int64_t commits_copied; /* when the copy was complete */
    int64_t copy_start_ms;
    int64_t copy_ms;
    int64_t follow_ms;
    struct shop_size size; /* of the target at the end */
};

/* Two clusters, the shop in the first, four sessions that write to it. */
bool demo_prepare(struct demo *demo, struct err *err) MUST_USE;

/* The engine copies, then follows; the reader reads; the engine is killed, if that is wanted. */
bool demo_copy(struct demo *demo, struct err *err) MUST_USE;
bool demo_follow(struct demo *demo, struct err *err) MUST_USE;

/* The writers end, the target catches up, the engine is stopped. */
bool demo_finish(struct demo *demo, struct err *err) MUST_USE;

/* Compares (after altering a value, if that is wanted). *ret_is_equal: what verify says. */
bool demo_compare(struct demo *demo, bool *ret_is_equal, struct err *err) MUST_USE;
