/* Counters and gauges of one engine, from metrics.def. Shared: atomics. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

#define METRIC(name, ...) METRIC_##name,
enum metric {
#include "metrics/metrics.def"
    METRIC_COUNT,
};
#undef METRIC

/* Values of METRIC_PHASE. */
enum metrics_phase {
    METRICS_STARTING,
    METRICS_COPYING,
    METRICS_CATCHING_UP,
    METRICS_FOLLOWING,
    METRICS_STOPPING,
    METRICS_FAILED,
};

struct metrics;

struct metrics *metrics_new(void); /* all zero, but UP_SINCE is now */
void metrics_free(struct metrics **metrics);

/* A NULL metrics is allowed everywhere: nothing is counted. */
void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n);
void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value);
uint64_t metrics_get(const struct metrics *metrics, enum metric metric);

/* Raises the value, never lowers it: for positions written by several threads. */
void metrics_raise(struct metrics *metrics, enum metric metric, uint64_t value);

/* The phase's word: "copying". */
const char *metrics_phase_name(enum metrics_phase phase);

/* Appends everything in Prometheus' text format, each line labelled with the pipeline's name. */
void metrics_render(const struct metrics *metrics, const char *pipeline, struct buf *out);
