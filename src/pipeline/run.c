/* The main thread's part: signals by signalfd, progress, joins. And the engine thread's order of
 * stages. See run.h. */
#include "pipeline/run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/http.h"
#include "pg/lsn.h"
#include "pg/url.h"
#include "pipeline/control.h"
#include "pipeline/engine.h"
#include "pipeline/progress.h"
#include "pipeline/resumable.h"
#include "pipeline/resync.h"
#include "pipeline/snapshot.h"
#include "pipeline/work_dir.h"
#include "source/slot.h"

enum { TICK_MS = 500, GRACE_MS = 3500 };

struct run {
    struct engine engine;
    struct http *http;
    struct control *control;
    struct stop *ended;    /* raised by the engine thread as its last act */
    atomic_bool is_copied; /* the copy is over: a signal is the usual end from now on */
    struct err err;        /* the engine thread's; read after it has ended */
};

/* --- the engine thread --- */

static bool find_until(struct engine *engine, struct err *err)
{
    uint64_t end = 0;
    if (!engine->settings->until[0])
        return true;
    if (!engine_source(engine, err) || !source_end(engine->source, &end, err))
        return false;
    if (strcmp(engine->settings->until, "now") == 0)
        engine->until = end;
    return true;
}

/* The newest end position of all tables: from there on the target is a state of the source. */
static bool catch_up(struct engine *engine, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(keeper_tables_release) struct keeper_tables tables = KEEPER_TABLES_INIT;
    uint64_t end = engine->pipeline.schema_lsn;
    uint64_t unused = 0;
    if (!keeper_tables(engine->keeper, &engine->ref, &tables, err) ||
        !engine_connect(engine, true, "until", &source, err) ||
        !source_end(source, &unused, err)) /* the stream passes `end` soon, even if idle */
        return false;
    for (size_t i = 0; i < tables.count; i++)
        end = MAX_OF(end, tables.items[i].end_lsn);
    metrics_set(engine->metrics, METRIC_PHASE, METRICS_CATCHING_UP);
    return engine_follow(engine, end, err);
}

static bool retry(struct engine *engine, bool (*stage)(struct engine *, struct err *),
                  struct err *err)
{
    *err = (struct err){0};
    while (!stage(engine, err))
        if (engine->newcomer || !engine_reconnect(engine, err))
            return false;
    return true;
}

static bool reload(struct engine *engine, struct err *err)
{
    bool is_found = false;
    keeper_pipeline_release(&engine->pipeline);
    return keeper_load(engine->keeper, engine->ref.schema, &is_found, &engine->pipeline, err);
}

static bool finish_copy(struct engine *engine, struct err *err)
{
    if (engine->pipeline.phase == KEEPER_FOLLOWING)
        return true;
    conn_free(&engine->source);   /* a copy takes its time */
    if (!engine->tools.pg_dump && /* not looked for while nothing was to be copied */
        !schema_tools_find(engine->settings->pg_bindir, engine->source_version,
                           engine->target_version, &engine->tools, err))
        return false;
    return engine_copy(engine, err) && retry(engine, reload, err) && retry(engine, catch_up, err) &&
           engine_keys(engine, err) && retry(engine, reload, err);
}

/* Copies what is to be copied, then follows. False with engine->newcomer: a relation has come that
 * the keeper does not know. */
static bool copy_and_follow(struct run *run, struct err *err)
{
    struct engine *engine = &run->engine;
    if (!finish_copy(engine, err))
        return false;
    atomic_store(&run->is_copied, true);
    if (engine->settings->resumable)
        return true;
    metrics_set(engine->metrics, METRIC_PHASE, METRICS_FOLLOWING);
    log_info("following");
    if (!engine->until && !retry(engine, find_until, err))
        return false;
    conn_free(&engine->source);
    return engine_follow(engine, engine->until, err);
}

/* Both are tried again when a connection is lost meanwhile. */
static bool take_in(struct engine *engine, struct err *err)
{
    uint32_t newcomer = engine->newcomer;
    *err = (struct err){0};
    while (!engine_take_in(engine, err)) {
        engine->newcomer = 0; /* or the next try would not wait */
        if (!engine_reconnect(engine, err))
            return false;
        engine->newcomer = newcomer;
    }
    return true;
}

/* The control thread watches a slot that is about to go. */
static bool end_resumable(struct run *run, struct err *err)
{
    struct err verdict = {0};
    control_stop(&run->control, &verdict);
    if (verdict.kind != ERR_NONE)
        return err_copy(err, &verdict);
    return retry(&run->engine, resumable_end, err);
}

static bool run_stages(struct run *run, struct err *err)
{
    struct engine *engine = &run->engine;
    if (engine->settings->mode == MODE_SNAPSHOT)
        return snapshot_run(engine, err);
    if (!engine_check(engine, err) || !engine_prepare(engine, err))
        return false;
    engine->has_started = true;
    if (!retry(engine, resync_request, err))
        return false;
    run->control = control_start(engine);
    if (resumable_is_complete(engine))
        atomic_store(&engine->durable, engine->pipeline.position);
    else if (engine->settings->resumable)
        resumable_tell(engine);
    while (!copy_and_follow(run, err))
        if (!engine->newcomer || !take_in(engine, err))
            return false;
    return retry(engine, engine_sequences, err) &&
           (!engine->settings->resumable || end_resumable(run, err));
}

static void *engine_main(void *arg)
{
    struct run *run = arg;
    log_thread("engine");
    bool is_good = run_stages(run, &run->err);
    if (is_good)
        run->err = (struct err){0};
    struct err verdict = {0};
    control_stop(&run->control, &verdict);
    if (verdict.kind != ERR_NONE)
        (void)err_copy(&run->err, &verdict);
    conn_free(&run->engine.creator);
    conn_free(&run->engine.keeper);
    conn_free(&run->engine.source);
    stop_raise(run->ended);
    return NULL;
}

/* --- the main thread --- */

static int signal_descriptor(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* SIGHUP: what file and environment say of the level counts from now on, also over a flag. */
static void reread_level(const struct settings *settings)
{
    enum log_level level = log_get_level();
    bool is_set = false;
    struct err err = {0};
    if (!settings_reread_level(settings, &level, &is_set, &err)) {
        (void)err_wrap(&err, "log level stays %s", log_level_name(level));
        log_err(LOG_WARN, &err);
        return;
    }
    log_set_level(MIN_OF(level, LOG_INFO)); /* for this line, whatever the level */
    log_info(is_set ? "log level is %s now" : "log level stays %s: no file or variable names one",
             log_level_name(level));
    log_set_level(level);
}

/* The first signal asks for the end of the group in hand, a copy breaks off at once; when that
 * takes too long, or with the second signal, everything is broken off. */
static void take_signal(struct run *run, int fd, int64_t *hard_at)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP && info.ssi_code != SI_KERNEL) { /* else the terminal is gone */
        reread_level(run->engine.settings);
        return;
    }
    log_info("stopping (signal %u)", info.ssi_signo);
    metrics_set(run->engine.metrics, METRIC_PHASE, METRICS_STOPPING);
    bool is_second = stop_raised(run->engine.soft);
    stop_raise(run->engine.soft);
    *hard_at = clock_ms() + GRACE_MS;
    if (is_second || !atomic_load(&run->is_copied))
        stop_raise(run->engine.hard);
}

static void wait_for_end(struct run *run, int signal_fd)
{
    AUTO(progress_free)
    struct progress *progress = progress_new(run->engine.settings, run->engine.metrics);
    int64_t hard_at = INT64_MAX;
    while (!stop_raised(run->ended)) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = stop_fd(run->ended), .events = POLLIN}};
        if (poll(fds, COUNT_OF(fds), TICK_MS) > 0 && fds[0].revents)
            take_signal(run, signal_fd, &hard_at);
        if (clock_ms() >= hard_at)
            stop_raise(run->engine.hard);
        progress_show(progress);
    }
}

static void drop_slot(struct run *run)
{
    struct engine *engine = &run->engine;
    AUTO(conn_free) struct conn *source = NULL;
    struct err err = {0};
    bool is_dropped = false;
    struct conn_options options = {
        .url = engine->settings->source, .what = "source", .application_name = engine->name_prefix};
    if (!conn_open(&options, &source, &err) ||
        !slot_wait_free(source, engine->slot, engine->name_prefix, NULL, 10000, &err) ||
        !slot_drop(source, engine->slot, &is_dropped, &err))
        log_err(LOG_ERROR, &err);
    else
        log_warn("slot %s is dropped", engine->slot);
}

static int report_end(struct run *run)
{
    char lsn[LSN_TEXT];
    const struct settings *settings = run->engine.settings;
    uint64_t durable = atomic_load(&run->engine.durable);
    if ((run->err.kind == ERR_NONE && settings->mode != MODE_SNAPSHOT) ||
        (run->err.kind == ERR_STOP && durable))
        (void)printf("position %s\n", lsn_format(durable, lsn));
    (void)fflush(stdout);
    if (run->err.kind == ERR_STOP) /* a follower's usual end; cut short only before a goal */
        return settings->until[0] || settings->resumable || !atomic_load(&run->is_copied) ? 3 : 0;
    if (run->err.kind == ERR_NONE)
        return 0;
    log_err(LOG_ERROR, &run->err);
    return err_exit_code(&run->err);
}

static void run_release(struct run *run)
{
    struct engine *engine = &run->engine;
    http_free(&run->http);
    work_dir_remove(&engine->work_dir);
    selection_release(&engine->selection);
    engine_forget_seen(engine);
    keeper_pipeline_release(&engine->pipeline);
    schema_tools_release(&engine->tools);
    free(engine->restless);
    free(engine->strangers);
    apply_failure_release(&engine->failure);
    keeper_holder_release(&engine->holder);
    free(engine->slot);
    free(engine->publication);
    free(engine->inserts_publication);
    free(engine->source_schema);
    free(engine->database);
    free(engine->system_id);
    free(engine->name_prefix);
    free(engine->created_snapshot);
    stop_free(&engine->soft);
    stop_free(&engine->hard);
    stop_free(&run->ended);
    metrics_free(&engine->metrics);
}

/* What only a snapshot can do: a stream would change rows that were never copied. */
static bool check_mode(const struct settings *settings, struct err *err)
{
    bool is_partial =
        settings->schema_only_tables.count || settings->snapshot_content != SNAPSHOT_FULL;
    if (settings->mode != MODE_SNAPSHOT_AND_REPLICATION || !is_partial)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "%s leaves rows out, and their later changes could not be applied",
                  settings->schema_only_tables.count ? "schema_only_tables" : "snapshot_mode");
    return err_hint(err,
                    "leave those tables out altogether (excluded_tables), or copy once with "
                    "%s snapshot",
                    settings->program);
}

static bool start(struct run *run, struct err *err)
{
    struct engine *engine = &run->engine;
    const struct settings *settings = engine->settings;
    if (!resumable_check(settings, err) || !check_mode(settings, err) ||
        !selection_read(settings, &engine->selection, err) ||
        !work_dir_make(&engine->work_dir, err))
        return false;
    if (!settings->listen[0])
        return true;
    AUTO(str_free) char *database = url_part(settings->source, "dbname");
    AUTO(str_free)
    char *name = settings->slot[0] ? str_dup(settings->slot)
                                   : str_fmt("trunkline_%s_slot", database ? database : "");
    run->http = http_start(settings->listen, engine->metrics, name, err);
    return run->http != NULL;
}

int run_pipeline(const struct settings *settings)
{
    AUTO(run_release) struct run run = {.engine = {.settings = settings}};
    pthread_t thread;
    run.engine.soft = stop_new();
    run.engine.hard = stop_new();
    run.engine.metrics = metrics_new();
    run.ended = stop_new();
    int signal_fd = signal_descriptor();
    if (signal_fd < 0 || !start(&run, &run.err)) {
        log_err(LOG_ERROR, &run.err);
        return err_exit_code(&run.err);
    }
    if (pthread_create(&thread, NULL, engine_main, &run) != 0)
        abort();
    wait_for_end(&run, signal_fd);
    (void)pthread_join(thread, NULL);
    (void)close(signal_fd);
    if (atomic_load(&run.engine.is_over_bound) && settings->max_slot_wal_action == SLOT_WAL_DROP)
        drop_slot(&run);
    return report_end(&run);
}
