/* The engine under demonstration: this same program as a child process. */
#include "demo/engine.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "demo/text.h"

enum { STOP_TIMEOUT_MS = 10000, MAX_OUTPUT = 64 * 1024 };

extern char **environ;

static bool is_ours_to_pass(const char *item)
{
    return strncmp(item, "TRUNKLINE_", 10) != 0 && strncmp(item, "PG", 2) != 0 &&
           strncmp(item, "TMPDIR=", 7) != 0;
}

/* Ours, without what would steer the program or libpq. Its temporary files go where all is removed
 * in the end: a killed engine leaves some. */
static void make_env(struct engine *engine, const char *source_url, const char *target_url)
{
    for (char **item = environ; *item; item++)
        if (is_ours_to_pass(*item))
            strv_add(&engine->env, *item);
    strv_take(&engine->env, str_fmt("TRUNKLINE_SOURCE=%s", source_url));
    strv_take(&engine->env, str_fmt("TRUNKLINE_TARGET=%s", target_url));
    strv_add(&engine->env, "TRUNKLINE_SLOT=demo");
    strv_take(&engine->env, str_fmt("TMPDIR=%s", engine->place->dir));
}

static char *own_program(struct err *err)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
    if (len > 0 && (size_t)len < sizeof(path))
        return str_dup_n(path, (size_t)len);
    (void)err_set(err, ERR_FATAL, "could not find this program's own file: %s", strerror(errno));
    return NULL;
}

bool engine_init(struct engine *engine, const struct place *place, const struct cluster *source,
                 const struct cluster *target, struct err *err)
{
    engine->place = place;
    engine->log_path = place_path(place, "engine.log");
    make_env(engine, source->url, target->url);
    engine->program = own_program(err);
    return engine->program != NULL;
}

void engine_release(struct engine *engine)
{
    static const int how[] = {SIGTERM, SIGKILL, 0};
    process_end(&engine->child, how, STOP_TIMEOUT_MS);
    str_free(&engine->program);
    str_free(&engine->log_path);
    strv_release(&engine->env);
}

/* It starts in the demo's directory, so that a .env file of the user's has no say. */
static struct process_options make_options(const struct engine *engine, const char *const *argv)
{
    return (struct process_options){
        .what = "the engine",
        .argv = argv,
        .env = (const char *const *)engine->env.items,
        .dir = engine->place->dir,
        .log_path = engine->log_path,
        .death_signal = SIGTERM,
    };
}

bool engine_start(struct engine *engine, struct err *err)
{
    engine->port = place_free_port(err);
    if (!engine->port)
        return false;
    AUTO(str_free) char *listen = str_fmt("127.0.0.1:%d", engine->port);
    const char *argv[] = {engine->program,       "run", "--listen", listen, "--pg-bindir",
                          engine->place->bindir, NULL};
    struct process_options options = make_options(engine, argv);
    return process_start(&options, &engine->child, err);
}

bool engine_look(struct engine *engine, struct err *err)
{
    (void)scrape_read(engine->port, &engine->now); /* nobody there yet: next time */
    if (process_runs(&engine->child))
        return true;
    (void)process_wait(&engine->child, -1, NULL);
    return process_failed(&engine->child, engine->log_path, err);
}

bool engine_kill_and_start(struct engine *engine, struct err *err)
{
    static const int how[] = {SIGKILL, 0};
    process_end(&engine->child, how, STOP_TIMEOUT_MS);
    engine->before.rows += engine->now.rows;
    engine->before.bytes += engine->now.bytes;
    engine->before.transactions += engine->now.transactions;
    engine->now = (struct scrape){0};
    engine->kills++;
    return engine_start(engine, err);
}

bool engine_stop(struct engine *engine, const struct stop *stop, struct err *err)
{
    (void)kill(engine->child.pid, SIGTERM);
    if (!process_wait(&engine->child, STOP_TIMEOUT_MS, stop))
        return stop_raised(stop) ? err_set(err, ERR_STOP, "interrupted")
                                 : err_set(err, ERR_FATAL, "the engine did not end on SIGTERM");
    return process_code(&engine->child) == 0 ||
           process_failed(&engine->child, engine->log_path, err);
}

int64_t engine_transactions(const struct engine *engine)
{
    return engine->before.transactions + engine->now.transactions;
}

bool engine_verify(struct engine *engine, const struct stop *stop, int *ret_code, char **ret_text,
                   struct err *err)
{
    static const int how[] = {SIGTERM, SIGKILL, 0};
    AUTO(str_free) char *out_path = place_path(engine->place, "verify.out");
    const char *argv[] = {engine->program, "verify", NULL};
    struct process_options options = make_options(engine, argv);
    struct process verify = PROCESS_INIT;
    options.what = "verify";
    options.out_path = out_path;
    if (!process_start(&options, &verify, err))
        return false;
    if (!process_wait(&verify, -1, stop)) {
        process_end(&verify, how, STOP_TIMEOUT_MS);
        return err_set(err, ERR_STOP, "interrupted");
    }
    if (process_code(&verify) > 1)
        return process_failed(&verify, engine->log_path, err);
    *ret_code = process_code(&verify);
    *ret_text = text_tail(out_path, MAX_OUTPUT);
    return true;
}
