/* The demo's acts. Each waits for conditions: what the engine's metrics say, what the writers have
 * done. Whatever goes wrong meanwhile (engine, a writer, the reader) ends it at the next look. */
#include "demo/story.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "demo/text.h"
#include "pg/lsn.h"

enum {
    LOOK_MS = 50,
    COMMITS_BEFORE = 300,   /* the engine finds the source in full use */
    COMMITS_COPY = 7000,    /* as fast as they come: more than a third of all */
    COMMITS_TOTAL = 20400,  /* at least */
    COMMITS_FOLLOW = 12000, /* if a third of all were made during the copy */
    COMMITS_A_SECOND = 1600,
    CATCH_UP_TIMEOUT_MS = 120000,
};

/* One look at everything, now and then. */
static bool look(struct demo *demo, struct err *err)
{
    if (stop_wait(demo->stop, LOOK_MS))
        return err_set(err, ERR_STOP, "interrupted");
    return (!demo->writers || writers_check(demo->writers, err)) &&
           (!demo->reader || reader_check(demo->reader, err)) &&
           (!demo->engine.child.pid || engine_look(&demo->engine, err));
}

static bool start_clusters(struct demo *demo, struct err *err)
{
    for (int i = 0; i < DEMO_SIDES; i++)
        if (!cluster_start(&demo->clusters[i], &demo->place, demo->settings->demo_keep, demo->stop,
                           err))
            return false;
    show_step(&demo->show,
              "two clusters in %s, ports %d and %d (fsync off: their data is not worth keeping)",
              demo->place.dir, demo->clusters[DEMO_SOURCE].port, demo->clusters[DEMO_TARGET].port);
    return true;
}

static bool load_shop(struct demo *demo, struct err *err)
{
    char rows[TEXT_COUNT];
    char bytes[TEXT_COUNT];
    struct shop_size size;
    AUTO(conn_free) struct conn *conn = NULL;
    show_progress(&demo->show, "making the shop database");
    if (!cluster_connect(&demo->clusters[DEMO_SOURCE], "shop", NULL, demo->stop, &conn, err) ||
        !shop_load(conn, demo->settings->demo_scale, err) || !shop_measure(conn, &size, err))
        return false;
    show_step(&demo->show, "the shop database on the source: %" PRId64 " tables, %s rows, %s",
              size.tables, text_count(size.rows, rows), text_bytes(size.bytes, bytes));
    return true;
}

static bool start_writers(struct demo *demo, struct err *err)
{
    if (!writers_start(&demo->clusters[DEMO_SOURCE], &demo->writers, err))
        return false;
    while (writers_commits(demo->writers) < COMMITS_BEFORE)
        if (!look(demo, err))
            return false;
    show_step(&demo->show, "%d sessions write to the source", WRITER_COUNT);
    return true;
}

bool demo_prepare(struct demo *demo, struct err *err)
{
    return place_open(&demo->place, demo->settings->pg_bindir, err) && start_clusters(demo, err) &&
           load_shop(demo, err) && start_writers(demo, err);
}

static void show_copy(struct demo *demo)
{
    const struct scrape *now = &demo->engine.now;
    char bytes[TEXT_COUNT];
    char rows[TEXT_COUNT];
    char commits[TEXT_COUNT];
    show_progress(
        &demo->show, "%s: %" PRId64 " of %" PRId64 " tables, %s rows, %s; source: %s commits",
        metrics_phase_name(now->phase), now->tables_done, now->tables, text_count(now->rows, rows),
        text_bytes(now->bytes, bytes), text_count(writers_commits(demo->writers), commits));
}

static bool kill_engine(struct demo *demo, const char *when, struct err *err)
{
    if (!engine_kill_and_start(&demo->engine, err))
        return false;
    show_step(&demo->show, "killed the engine with SIGKILL %s, and started it again", when);
    return true;
}

/* In the midst of the rows; or, if that went by between two looks, before the copy is complete. */
static bool is_time_to_kill_copy(const struct demo *demo)
{
    const struct scrape *now = &demo->engine.now;
    return demo->settings->demo_kill && demo->engine.kills == 0 &&
           (now->phase > METRICS_COPYING ||
            (now->phase == METRICS_COPYING && now->bytes > 0 && now->parts_done * 4 > now->parts));
}

static bool watch_copy(struct demo *demo, struct err *err)
{
    bool is_fast = true;
    while (demo->engine.now.phase < METRICS_CATCHING_UP || is_time_to_kill_copy(demo)) {
        if (is_time_to_kill_copy(demo) && !kill_engine(demo, "in the copy", err))
            return false;
        if (is_fast && writers_commits(demo->writers) - demo->commits_before > COMMITS_COPY) {
            writers_pace(demo->writers, COMMITS_A_SECOND);
            is_fast = false;
        }
        if (!look(demo, err))
            return false;
        show_copy(demo);
    }
    writers_pace(demo->writers, COMMITS_A_SECOND);
    return true;
}

bool demo_copy(struct demo *demo, struct err *err)
{
    char rows[TEXT_COUNT];
    char bytes[TEXT_COUNT];
    struct engine *engine = &demo->engine;
    if (!engine_init(engine, &demo->place, &demo->clusters[DEMO_SOURCE],
                     &demo->clusters[DEMO_TARGET], err) ||
        !engine_start(engine, err))
        return false;
    demo->commits_before = writers_commits(demo->writers);
    demo->copy_start_ms = clock_ms();
    show_step(&demo->show, "trunkline run --source … --target … --slot demo");
    if (!watch_copy(demo, err))
        return false;
    demo->copy_ms = clock_ms() - demo->copy_start_ms;
    demo->commits_copied = writers_commits(demo->writers);
    show_step(&demo->show, "copied %s rows, %s",
              text_count(engine->before.rows + engine->now.rows, rows),
              text_bytes(engine->before.bytes + engine->now.bytes, bytes));
    return true;
}

static bool follows(const struct demo *demo)
{
    return demo->engine.now.phase == METRICS_FOLLOWING;
}

static bool await_following(struct demo *demo, struct err *err)
{
    while (!follows(demo)) {
        if (!look(demo, err))
            return false;
        show_copy(demo);
    }
    show_step(&demo->show, "the target is consistent; a reader checks its sums from now on");
    return reader_start(&demo->clusters[DEMO_TARGET], &demo->reader, err);
}

static void show_follow(struct demo *demo)
{
    char lag[TEXT_COUNT];
    char commits[TEXT_COUNT];
    char transactions[TEXT_COUNT];
    char checks[TEXT_COUNT];
    show_progress(&demo->show, "%s: %s transactions, lag %s; source: %s commits; reader: %s checks",
                  metrics_phase_name(demo->engine.now.phase),
                  text_count(engine_transactions(&demo->engine), transactions),
                  text_bytes(demo->engine.now.lag_bytes, lag),
                  text_count(writers_commits(demo->writers), commits),
                  text_count(reader_checks(demo->reader), checks));
}

static bool truncate_events(struct demo *demo, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    if (!cluster_connect(&demo->clusters[DEMO_SOURCE], "truncate", NULL, demo->stop, &conn, err) ||
        !conn_exec(conn, "TRUNCATE shop.events RESTART IDENTITY", err))
        return false;
    show_step(&demo->show, "TRUNCATE shop.events on the source");
    return true;
}

static bool watch_until(struct demo *demo, int64_t commits, struct err *err)
{
    while (writers_commits(demo->writers) < commits) {
        if (!look(demo, err))
            return false;
        show_follow(demo);
    }
    return true;
}

bool demo_follow(struct demo *demo, struct err *err)
{
    int64_t start_ms = clock_ms();
    if (!await_following(demo, err))
        return false;
    int64_t now = writers_commits(demo->writers);
    int64_t copied = demo->commits_copied - demo->commits_before;
    int64_t total = MAX_OF(COMMITS_TOTAL, MIN_OF(now + COMMITS_FOLLOW, 3 * copied));
    if (!watch_until(demo, now + (total - now) / 3, err) || !truncate_events(demo, err) ||
        !watch_until(demo, now + (total - now) / 2, err) ||
        (demo->settings->demo_kill && !kill_engine(demo, "while it followed", err)) ||
        !watch_until(demo, total, err))
        return false;
    demo->follow_ms = clock_ms() - start_ms;
    return true;
}

/* The last transaction stands behind all others: when it is on the target, they are. */
static bool write_last(struct demo *demo, uint64_t *ret_lsn, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    AUTO(str_free) char *lsn = NULL;
    if (!cluster_connect(&demo->clusters[DEMO_SOURCE], "last", NULL, demo->stop, &conn, err) ||
        !conn_text(conn, "SELECT pg_current_wal_insert_lsn()", &lsn, err) ||
        !conn_exec(conn, "INSERT INTO shop.events (kind) VALUES ('closed')", err))
        return false;
    return lsn_parse(lsn, ret_lsn) || err_set(err, ERR_FATAL, "not an LSN: %s", lsn);
}

static bool await_position(struct demo *demo, uint64_t lsn, struct err *err)
{
    int64_t position = 0;
    int64_t moved_ms = clock_ms();
    while ((uint64_t)demo->engine.now.applied_lsn <= lsn) {
        if (!look(demo, err))
            return false;
        show_follow(demo);
        if (demo->engine.now.applied_lsn != position)
            moved_ms = clock_ms();
        position = demo->engine.now.applied_lsn;
        if (clock_ms() - moved_ms > CATCH_UP_TIMEOUT_MS)
            return err_set(err, ERR_FATAL, "the target does not catch up");
    }
    return true;
}

bool demo_finish(struct demo *demo, struct err *err)
{
    uint64_t lsn = 0;
    int64_t start_ms = clock_ms();
    writers_end(demo->writers);
    show_step(&demo->show, "the writers have stopped");
    if (!writers_check(demo->writers, err) || !write_last(demo, &lsn, err) ||
        !await_position(demo, lsn, err))
        return false;
    demo->follow_ms += clock_ms() - start_ms;
    show_step(&demo->show, "the target has caught up");
    reader_end(demo->reader);
    return reader_check(demo->reader, err) && engine_stop(&demo->engine, demo->stop, err);
}

static bool break_target(struct demo *demo, struct conn *conn, struct err *err)
{
    const char *where = NULL;
    if (!shop_break(conn, &where, err))
        return false;
    show_step(&demo->show, "altered one value on the target: %s", where);
    return true;
}

bool demo_compare(struct demo *demo, bool *ret_is_equal, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    AUTO(str_free) char *text = NULL;
    int code = 0;
    if (!cluster_connect(&demo->clusters[DEMO_TARGET], "measure", NULL, demo->stop, &conn, err) ||
        !shop_measure(conn, &demo->size, err) ||
        (demo->settings->demo_break && !break_target(demo, conn, err)))
        return false;
    show_progress(&demo->show, "comparing");
    if (!engine_verify(&demo->engine, demo->stop, &code, &text, err))
        return false;
    show_step(&demo->show, "trunkline verify --source … --target …: exit code %d", code);
    if (code != 0)
        (void)fputs(text, stdout);
    *ret_is_equal = code == 0;
    return true;
}
