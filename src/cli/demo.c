/* `trunkline demo`: from nothing to a verified copy, on two throwaway clusters. The acts are in
 * demo_story.c; here are their order, what is left behind (nothing) and the summary. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "demo/signal.h"
#include "demo/story.h"
#include "demo/text.h"

enum { LOG_TAIL = 3000 };

/* Everything that was started ends here, whatever happened; writers and reader first, as they would
 * take the end of their servers for a failure. */
static void demo_release(struct demo *demo)
{
    writers_free(&demo->writers);
    reader_free(&demo->reader);
    engine_release(&demo->engine);
    clusters_stop(demo->clusters, DEMO_SIDES);
    for (int i = 0; i < DEMO_SIDES; i++)
        cluster_release(&demo->clusters[i]);
    place_remove(&demo->place);
    place_release(&demo->place);
}

static void print_writers(const struct demo *demo)
{
    char total[TEXT_COUNT];
    char before[TEXT_COUNT];
    char copy[TEXT_COUNT];
    char after[TEXT_COUNT];
    char rollbacks[TEXT_COUNT];
    int64_t commits = writers_commits(demo->writers);
    (void)printf("writers     %s commits in %d sessions: %s before the copy, %s during it, %s after"
                 "; %s rolled back\n",
                 text_count(commits, total), WRITER_COUNT, text_count(demo->commits_before, before),
                 text_count(demo->commits_copied - demo->commits_before, copy),
                 text_count(commits - demo->commits_copied, after),
                 text_count(writers_rollbacks(demo->writers), rollbacks));
}

static void print_summary(const struct demo *demo)
{
    char rows[TEXT_COUNT];
    char bytes[TEXT_COUNT];
    char copied[TEXT_COUNT];
    char followed[TEXT_COUNT];
    char checks[TEXT_COUNT];
    const struct engine *engine = &demo->engine;
    int64_t copied_bytes = engine->before.bytes + engine->now.bytes;
    (void)printf("database    %" PRId64 " tables, %s rows, %s\n", demo->size.tables,
                 text_count(demo->size.rows, rows), text_bytes(demo->size.bytes, bytes));
    (void)printf("copy        %s rows, %s in %.1f s: %.1f MB/s%s\n",
                 text_count(engine->before.rows + engine->now.rows, copied),
                 text_bytes(copied_bytes, bytes), (double)demo->copy_ms / 1000,
                 (double)copied_bytes / 1000 / (double)MAX_OF(demo->copy_ms, 1),
                 engine->kills ? " (with what was copied before the kill)" : "");
    print_writers(demo);
    (void)printf("followed    %s transactions in %.1f s\n",
                 text_count(engine_transactions(engine), followed), (double)demo->follow_ms / 1000);
    (void)printf("reader      %s checks on the target, every sum right\n",
                 text_count(reader_checks(demo->reader), checks));
    if (engine->kills)
        (void)printf("engine      killed with SIGKILL %d times\n", engine->kills);
    (void)printf("seconds     %.1f\n", show_seconds(&demo->show));
}

/* What --keep leaves: servers that run, and a file with the URLs, whose passwords are for nobody
 * else to see. */
static bool keep(struct demo *demo, struct err *err)
{
    AUTO(str_free)
    char *urls = str_fmt("TRUNKLINE_SOURCE=%s\nTRUNKLINE_TARGET=%s\nTRUNKLINE_SLOT=demo\n",
                         demo->clusters[DEMO_SOURCE].url, demo->clusters[DEMO_TARGET].url);
    if (!place_write(&demo->place, ".env", urls, err))
        return false;
    (void)printf("kept        %s: the servers run, .env there has their URLs; the end of them:\n"
                 "            kill %d %d; rm -r %s\n",
                 demo->place.dir, (int)demo->clusters[DEMO_SOURCE].server.pid,
                 (int)demo->clusters[DEMO_TARGET].server.pid, demo->place.dir);
    for (int i = 0; i < DEMO_SIDES; i++)
        process_forget(&demo->clusters[i].server);
    str_free(&demo->place.dir);
    return true;
}

static bool play(struct demo *demo, bool *ret_is_equal, struct err *err)
{
    return demo_prepare(demo, err) && demo_copy(demo, err) && demo_follow(demo, err) &&
           demo_finish(demo, err) && demo_compare(demo, ret_is_equal, err);
}

/* The end of the engine's log, for a failure that has its cause there. */
static void show_log(const struct demo *demo)
{
    AUTO(str_free)
    char *tail = demo->engine.log_path ? text_tail(demo->engine.log_path, LOG_TAIL) : str_dup("");
    if (*tail)
        (void)fprintf(stderr, "the engine's log ends with:\n%s", tail);
}

static int run_demo(const struct settings *settings, const struct stop *stop, struct err *err)
{
    AUTO(demo_release)
    struct demo demo = {.settings = settings,
                        .stop = stop,
                        .place = PLACE_INIT,
                        .clusters = {CLUSTER_INIT("source"), CLUSTER_INIT("target")},
                        .engine = ENGINE_INIT};
    bool is_equal = false;
    show_init(&demo.show, settings->progress);
    bool is_done = play(&demo, &is_equal, err);
    show_clear(&demo.show);
    if (is_done && is_equal && settings->demo_break)
        is_done = err_set(err, ERR_FATAL, "verify did not find the altered value");
    if (!is_done) {
        if (err->kind != ERR_STOP)
            show_log(&demo);
        return err_exit_code(err);
    }
    print_summary(&demo);
    if (settings->demo_keep && !keep(&demo, err))
        return err_exit_code(err);
    (void)puts(is_equal ? "source and target are identical" : "source and target differ");
    return is_equal ? 0 : 1;
}

int cmd_demo(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    AUTO(stop_free) struct stop *stop = stop_new();
    AUTO(signal_watch_free) struct signal_watch *watch = NULL;
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_DEMO, argc, argv, &code))
        return code;
    code = signal_watch_new(stop, &watch, &err) ? run_demo(&settings, stop, &err)
                                                : err_exit_code(&err);
    if (err.kind != ERR_NONE)
        log_err(err.kind == ERR_STOP ? LOG_WARN : LOG_ERROR, &err);
    return code;
}
