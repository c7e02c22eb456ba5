/* A copy that goes on, and the source's history. See history.h.
 *
 * Invariant: what the target holds of a table, up to its end position L, is part of the source's
 * history. A crash cannot take it away: L is flushed on the source before the table counts as
 * copied. A failover can: the new timeline may leave the old one before L. */
#include "pipeline/history.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pipeline/hold.h"
#include "source/slot.h"
#include "source/start.h"

/* A source behind several hosts may be one of them that is not promoted yet. */
static bool wait_for_primary(struct conn *source, struct err *err)
{
    AUTO(str_free) char *is_standby = NULL;
    if (!conn_text(source, "SELECT pg_catalog.pg_is_in_recovery()", &is_standby, err))
        return false;
    if (is_standby[0] == 'f')
        return true;
    (void)err_set(err, ERR_RETRY, "the source is a standby just now");
    return err_hint(err, "name all its servers in the URL, with target_session_attrs=read-write");
}

/* No attempt of ours runs now: what reads the source still belongs to one whose end did not get
 * through. It would hold its locks and its snapshot for as long as TCP tries. */
static bool end_readers(const struct engine *engine, struct conn *source, struct err *err)
{
    return conn_execf(source, err,
                      "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
                      " WHERE application_name IN (%L || 'copier', %L || 'snapshot')"
                      " AND datname = pg_catalog.current_database() AND usename = current_user",
                      engine->name_prefix, engine->name_prefix) ||
           err_wrap(err, "could not end the sessions of an earlier attempt");
}

static bool look(struct engine *engine, uint64_t after, struct source_history *ret_history,
                 struct err *err)
{
    AUTO(str_free) char *name = engine_name(engine, "look");
    struct stream_options options = {
        .url = engine->settings->source,
        .slot = engine->slot,
        .application_name = name,
        .system_id = engine->system_id,
        .timeline = engine->pipeline.timeline,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
    };
    return start_look(&options, after, ret_history, err);
}

/* The timeline is recorded last: what a kill leaves undone is done by the next start. */
static bool take_timeline(struct engine *engine, const struct source_history *history,
                          struct err *err)
{
    AUTO(keeper_tables_release) struct keeper_tables kept = KEEPER_TABLES_INIT;
    char end[LSN_TEXT], left[LSN_TEXT];
    log_info("the source is on timeline %" PRIu32 " now, it was on %" PRIu32, history->timeline,
             engine->pipeline.timeline);
    if (!keeper_tables(engine->keeper, &engine->ref, &kept, err))
        return false;
    for (size_t i = 0; i < kept.count; i++) {
        const struct keeper_table *table = &kept.items[i];
        if (table->end_lsn <= history->left)
            continue;
        log_warn("%s.%s was read up to %s, but the promoted source goes on from %s: it is copied "
                 "again",
                 table->schema, table->name, lsn_format(table->end_lsn, end),
                 lsn_format(history->left, left));
        if (!keeper_restart_table(engine->keeper, &engine->ref, table->oid, err))
            return false;
    }
    if (!keeper_set_timeline(engine->keeper, &engine->ref, history->timeline, err))
        return false;
    engine->pipeline.timeline = history->timeline;
    return true;
}

bool history_follow(struct engine *engine, struct conn *source, struct err *err)
{
    struct source_history history = {0};
    uint64_t after = 0;
    return wait_for_primary(source, err) && end_readers(engine, source, err) &&
           keeper_position(engine->keeper, &engine->ref, &after, err) &&
           look(engine, after, &history, err) &&
           (history.timeline == engine->pipeline.timeline || take_timeline(engine, &history, err));
}

bool history_timeline(struct conn *source, uint32_t *ret_timeline, struct err *err)
{
    AUTO(str_free) char *text = NULL;
    if (!conn_text(source,
                   "SELECT pg_catalog.left(pg_catalog.pg_walfile_name("
                   "pg_catalog.pg_current_wal_insert_lsn()), 8)",
                   &text, err))
        return err_wrap(err, "could not read the source's timeline");
    *ret_timeline = (uint32_t)strtoul(text, NULL, 16);
    return true;
}

bool history_is_same(const struct engine *engine, struct conn *source, struct err *err)
{
    uint32_t timeline = 0;
    return history_timeline(source, &timeline, err) &&
           (timeline == engine->pipeline.timeline ||
            err_set(err, ERR_RETRY, "the source fails over just now"));
}

bool history_flush(struct conn *source, struct err *err)
{
    uint64_t unused = 0;
    return source_end(source, &unused, err);
}
