/* See ahead.h. */
#include "pipeline/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    /* What waits so long may wait for the other session of ours: the server cannot know. */
    LOCK_MS = 2000,
    PAUSE_MS = 10000, /* after giving up; doubled each time in a row */
    DOUBLINGS = 8,
};

struct ahead {
    struct engine *engine;
    struct postgres_options options;
    char *name;            /* owned: options.application_name */
    struct target *main;   /* borrowed */
    struct target *target; /* opened with the first piece */
};

struct ahead *ahead_new(struct engine *engine, const struct postgres_options *options,
                        struct target *main)
{
    struct ahead *ahead = mem_alloc(sizeof(*ahead));
    ahead->engine = engine;
    ahead->name = engine_name(engine, "ahead");
    ahead->main = main;
    ahead->options = *options;
    ahead->options.application_name = ahead->name;
    ahead->options.is_ahead = true;
    ahead->options.failure = NULL; /* judged when it is applied behind its commit */
    /* A row in the way may be gone by then. */
    ahead->options.on_conflict = CONFLICT_ERROR;
    return ahead;
}

void ahead_free(struct ahead **ahead)
{
    struct ahead *a = TAKE(*ahead);
    if (!a)
        return;
    if (a->target)
        a->target->ops->free(&a->target);
    free(a->name);
    free(a);
}

bool ahead_end_former(struct engine *engine, struct err *err)
{
    enum { WAIT_MS = 10000 };
    return conn_execf(engine->keeper, err,
                      "SELECT pg_catalog.pg_terminate_backend(pid, %d)"
                      " FROM pg_catalog.pg_stat_activity"
                      " WHERE application_name IN (%L || 'apply', %L || 'ahead')"
                      " AND datname = pg_catalog.current_database() AND usename = current_user",
                      WAIT_MS, engine->name_prefix, engine->name_prefix);
}

void ahead_allow(struct ahead *ahead, bool is_safe)
{
    struct engine *engine = ahead->engine;
    bool is_wanted = is_safe && engine->settings->apply_ahead &&
                     engine->settings->apply_mode == APPLY_SETS &&
                     clock_ms() >= engine->ahead_from_ms;
    if (is_wanted != atomic_load(&engine->ahead.is_wanted))
        atomic_store(&engine->ahead.is_wanted, is_wanted);
}

bool ahead_give_up(struct ahead *ahead, struct err *err)
{
    if (err->kind == ERR_STOP)
        return false;
    atomic_store(&ahead->engine->ahead.has_failed, true);
    err->kind = ERR_RETRY;
    return false;
}

bool ahead_may_block(struct ahead *ahead, struct err *err)
{
    return ahead->target && err->kind == ERR_RETRY && ahead_give_up(ahead, err);
}

static bool open_target(struct ahead *ahead, struct err *err)
{
    if (ahead->target)
        return true;
    return postgres_open(&ahead->options, &ahead->target, err) &&
           postgres_limit_locks(ahead->target, LOCK_MS, err) &&
           postgres_limit_locks(ahead->main, LOCK_MS, err);
}

bool ahead_apply(struct ahead *ahead, const struct group *piece, struct err *err)
{
    return (open_target(ahead, err) && ahead->target->ops->apply(ahead->target, piece, err) &&
            fault_point("ahead.piece", err)) ||
           ahead_give_up(ahead, err);
}

/* The session goes too: it was prepared for this transaction's tables, and the next is rare. */
static bool close_target(struct ahead *ahead, struct err *err)
{
    ahead->target->ops->free(&ahead->target);
    return postgres_limit_locks(ahead->main, 0, err);
}

/* Its locks are gone before anybody else's changes come. */
bool ahead_abort(struct ahead *ahead, struct err *err)
{
    if (!ahead->target)
        return true;
    if (!postgres_run(ahead->target, "ROLLBACK", err))
        return ahead_give_up(ahead, err);
    return close_target(ahead, err);
}

bool ahead_commit(struct ahead *ahead, const struct position *position, struct err *err)
{
    const struct group end = {.is_complete = true, .position = *position};
    if (!ahead->target) /* nothing in it was for us */
        return ahead->main->ops->apply(ahead->main, &end, err);
    ahead->target->ops->succeed(ahead->target, ahead->main);
    if (!fault_point("ahead.commit", err) || !ahead->target->ops->apply(ahead->target, &end, err))
        return ahead_give_up(ahead, err);
    ahead->main->ops->succeed(ahead->main, ahead->target);
    ahead->engine->ahead_failures = 0;
    metrics_add(ahead->engine->metrics, METRIC_AHEAD_TRANSACTIONS, 1);
    return close_target(ahead, err);
}

bool ahead_has_given_up(struct engine *engine, const struct err *err)
{
    if (!atomic_exchange(&engine->ahead.has_failed, false) || err->kind != ERR_RETRY)
        return false;
    engine->ahead_from_ms = clock_ms() + (fault_limit_ms(PAUSE_MS)
                                          << MIN_OF(engine->ahead_failures, (unsigned)DOUBLINGS));
    engine->ahead_failures++;
    atomic_store(&engine->ahead.from_lsn, atomic_load(&engine->ahead.read_lsn));
    metrics_add(engine->metrics, METRIC_AHEAD_GIVEN_UP, 1);
    log_info("a transaction in progress is not applied before its commit, but behind it; the "
             "stream starts again: %s",
             err->text);
    return true;
}
