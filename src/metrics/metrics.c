/* The counters' storage and their text for Prometheus. Every thread of the engine adds; the
 * endpoint's thread reads. Relaxed order is enough: each value stands for itself. */
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

/* Shared: atomics. */
struct metrics {
    atomic_uint_fast64_t values[METRIC_COUNT];
};

struct metric_def {
    const char *kind;
    uint64_t unit;
    const char *name;
    const char *label;
    const char *help;
};

#define METRIC(id, kind, unit, name, label, help) \
    [METRIC_##id] = {#kind, unit, "trunkline_" name, label, help},
static const struct metric_def metric_defs[METRIC_COUNT] = {
#include "metrics/metrics.def"
};
#undef METRIC

static const char *const phase_names[] = {
    [METRICS_STARTING] = "starting",       [METRICS_COPYING] = "copying",
    [METRICS_CATCHING_UP] = "catching_up", [METRICS_FOLLOWING] = "following",
    [METRICS_STOPPING] = "stopping",       [METRICS_FAILED] = "failed",
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = mem_alloc(sizeof(*metrics));
    metrics_set(metrics, METRIC_UP_SINCE, (uint64_t)time(NULL));
    return metrics;
}

void metrics_free(struct metrics **metrics)
{
    free(*metrics);
    *metrics = NULL;
}

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n)
{
    if (metrics)
        atomic_fetch_add_explicit(&metrics->values[metric], n, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value)
{
    if (metrics)
        atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

uint64_t metrics_get(const struct metrics *metrics, enum metric metric)
{
    return metrics ? atomic_load_explicit(&metrics->values[metric], memory_order_relaxed) : 0;
}

void metrics_raise(struct metrics *metrics, enum metric metric, uint64_t value)
{
    if (!metrics)
        return;
    atomic_uint_fast64_t *stored = &metrics->values[metric];
    uint_fast64_t old = atomic_load_explicit(stored, memory_order_relaxed);
    while (old < value && !atomic_compare_exchange_weak_explicit(
                              stored, &old, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

const char *metrics_phase_name(enum metrics_phase phase)
{
    return (size_t)phase < COUNT_OF(phase_names) ? phase_names[phase] : "unknown";
}

/* {pipeline="…",label}; the text format escapes backslash, quote and line feed. */
static void render_labels(const char *pipeline, const char *label, struct buf *out)
{
    buf_puts(out, "{pipeline=\"");
    for (const char *c = pipeline; *c; c++) {
        if (*c == '\\' || *c == '"')
            buf_putc(out, '\\');
        buf_puts(out, *c == '\n' ? "\\n" : (char[]){*c, '\0'});
    }
    buf_fmt(out, "\"%s%s} ", *label ? "," : "", label);
}

/* One line a phase, so that a dashboard can show the state over time. */
static void render_phase(const struct metric_def *def, uint64_t now, const char *pipeline,
                         struct buf *out)
{
    for (size_t phase = 0; phase < COUNT_OF(phase_names); phase++) {
        AUTO(str_free) char *label = str_fmt("phase=\"%s\"", phase_names[phase]);
        buf_puts(out, def->name);
        render_labels(pipeline, label, out);
        buf_puts(out, phase == now ? "1\n" : "0\n");
    }
}

static void render_value(const struct metric_def *def, uint64_t value, const char *pipeline,
                         struct buf *out)
{
    buf_puts(out, def->name);
    render_labels(pipeline, def->label, out);
    if (def->unit == 1)
        buf_fmt(out, "%" PRIu64 "\n", value);
    else
        buf_fmt(out, "%.6f\n", (double)value / (double)def->unit);
}

void metrics_render(const struct metrics *metrics, const char *pipeline, struct buf *out)
{
    const char *last_name = "";
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metric_def *def = &metric_defs[i];
        uint64_t value = metrics_get(metrics, (enum metric)i);
        if (strcmp(def->name, last_name) != 0)
            buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", def->name, def->help, def->name,
                    def->kind);
        last_name = def->name;
        if (i == METRIC_PHASE)
            render_phase(def, value, pipeline, out);
        else
            render_value(def, value, pipeline, out);
    }
}
