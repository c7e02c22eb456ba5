/* Following: batches from the queue become groups, groups become target transactions. Runs in the
 * engine thread, which is the applier.
 *
 * Invariants: a source transaction is never split over two commits and never reordered; what the
 * copy holds already is skipped by the hand-over's rule; the source is told only what the target
 * has flushed. A lost connection on either side ends the session; the next one starts from the
 * stored position. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pipeline/ahead.h"
#include "pipeline/engine.h"
#include "pipeline/handover.h"
#include "pipeline/attached.h"
#include "pipeline/park.h"
#include "pipeline/resync.h"
#include "pipeline/route.h"
#include "pipeline/stream_reader.h"
#include "target/postgres/postgres.h"

enum {
    IDLE_POP_MS = 50,
    TELL_MS = 500,
    IDLE_TELL_MS = 20,
    FINAL_FLUSH_MS = 3000,
    BATCH_BYTES = 256 * 1024,
    HELD_MAX = 4096
};

/* One stretch of following over one pair of connections. */
struct session {
    struct engine *engine;
    struct stream_reader *reader;
    struct stop *reader_stop;
    char *reader_name; /* owned: the reader's thread borrows it */
    struct target *target;
    struct keeper_tables tables;
    uint64_t known_serial; /* of the last relation that the keeper knew */
    bool is_known_parked;
    struct handover *handover;
    struct ahead *ahead;   /* a transaction that is applied before its commit */
    struct resync *resync; /* of tables that are copied anew; NULL: there are none (any more) */
    uint64_t until;
    bool is_reached; /* everything before `until` is in the group or applied */

    /* the group in hand */
    const struct change **changes; /* owned list of borrowed changes */
    size_t change_count, change_size;
    size_t bytes;
    struct batch **held; /* owned list of references: what changes borrow from */
    size_t held_count, held_size;
    struct arena *arena; /* changes that the hand-over had to make anew */
    int64_t group_ms;    /* when its first change came */
    size_t transactions; /* completed in it */
    struct position end; /* of the last completed one */
    int64_t commit_us;   /* when the source committed it, since 2000-01-01 */
    bool is_started;     /* a piece of it has been applied already */

    /* the transaction in hand */
    bool is_in_transaction;
    bool is_ahead; /* in a piece of one in progress: the group in hand is this piece */
    uint32_t xid;
    uint64_t commit_lsn; /* UINT64_MAX: not known yet */

    uint64_t idle_lsn; /* delivered up to here, nothing of it to apply */
    struct position stored;
    int64_t stored_ms;
    int64_t told_ms; /* when the source was told last what is durable */
    int64_t look_ms; /* when a source 14 was asked last for attached tables */
};

/* --- durability --- */

static bool tell_durable(struct session *session, int timeout_ms, struct err *err)
{
    struct engine *engine = session->engine;
    struct position durable = {0};
    if (!session->target->ops->flushed(session->target, timeout_ms, &durable, err))
        return false;
    if (durable.lsn > atomic_load(&engine->durable) && !fault_point("group.durable", err))
        return false;
    if (durable.lsn > atomic_load(&engine->durable)) {
        char lsn[LSN_TEXT];
        atomic_store(&engine->durable, durable.lsn);
        log_trace("durable on the target up to %s", lsn_format(durable.lsn, lsn));
    }
    metrics_raise(engine->metrics, METRIC_DURABLE_LSN, durable.lsn);
    session->told_ms = clock_ms();
    if (session->reader)
        stream_reader_confirm(session->reader, &durable);
    return true;
}

/* --- the group --- */

static void drop_held(struct session *session)
{
    for (size_t i = 0; i < session->held_count; i++)
        batch_unref(&session->held[i]);
    session->held_count = 0;
}

/* After an apply only the batch that is being read may still be borrowed from. */
static void drop_older(struct session *session)
{
    for (size_t i = 0; i + 1 < session->held_count; i++)
        batch_unref(&session->held[i]);
    if (session->held_count > 1) {
        session->held[0] = session->held[session->held_count - 1];
        session->held_count = 1;
    }
}

static void hold_batch(struct session *session, struct batch *take_batch)
{
    if (session->held_count == session->held_size) {
        session->held_size = MAX_OF(session->held_size * 2, (size_t)64);
        session->held = mem_resize(session->held, session->held_size, sizeof(*session->held));
    }
    session->held[session->held_count++] = take_batch;
}

static void add_change(struct session *session, const struct change *change)
{
    if (session->change_count == session->change_size) {
        session->change_size = MAX_OF(session->change_size * 2, (size_t)1024);
        session->changes =
            mem_resize(session->changes, session->change_size, sizeof(*session->changes));
    }
    if (session->change_count == 0)
        session->group_ms = clock_ms();
    session->changes[session->change_count++] = change;
}

/* What was applied, for those who watch closely: kinds and numbers, never values. */
static void trace_group(const struct group *group, size_t transactions, int64_t took_us)
{
    size_t kinds[CHANGE_STREAM_ABORT + 1] = {0};
    char lsn[LSN_TEXT];
    if (!log_shows(LOG_TRACE))
        return;
    for (size_t i = 0; i < group->count; i++)
        kinds[group->changes[i]->kind]++;
    (void)lsn_format(group->position.lsn, lsn);
    if (group->is_complete && group->count == 0)
        log_trace("stored position %s", lsn);
    else
        log_trace("applied %zu inserts, %zu updates, %zu deletes, %zu truncates in %" PRId64 " us;"
                  " %s %s, transactions: %zu",
                  kinds[CHANGE_INSERT], kinds[CHANGE_UPDATE], kinds[CHANGE_DELETE],
                  kinds[CHANGE_TRUNCATE], took_us,
                  group->is_complete ? "committed at" : "piece of a transaction after", lsn,
                  transactions);
}

/* By the clocks of both machines: differing clocks show here. */
static void note_lag(const struct session *session)
{
    int64_t now_us = clock_pg_us();
    if (session->transactions)
        metrics_set(session->engine->metrics, METRIC_LAG_SECONDS,
                    (uint64_t)MAX_OF(now_us - session->commit_us, (int64_t)0));
}

static bool apply_to(struct session *session, const struct group *group, struct err *err)
{
    if (session->is_ahead)
        return ahead_apply(session->ahead, group, err);
    return session->target->ops->apply(session->target, group, err) ||
           ahead_may_block(session->ahead, err);
}

/* The target has committed all transactions up to session->end. */
static bool note_applied(struct session *session, struct err *err)
{
    struct engine *engine = session->engine;
    engine_recovered(engine);
    metrics_add(engine->metrics, METRIC_GROUPS, 1);
    note_lag(session);
    metrics_add(engine->metrics, METRIC_TRANSACTIONS, session->transactions);
    metrics_raise(engine->metrics, METRIC_APPLIED_LSN, session->end.lsn);
    session->transactions = 0;
    session->stored = session->end;
    session->stored_ms = clock_ms();
    /* A stream that is never idle must be confirmed too: the source keeps the WAL until then. */
    return session->stored_ms - session->told_ms < TELL_MS || tell_durable(session, 0, err);
}

/* Applies what is gathered. is_complete: the last transaction in it is whole, so commit. */
static bool apply(struct session *session, bool is_complete, struct err *err)
{
    int64_t since = clock_us();
    struct group group = {
        .changes = session->changes,
        .count = session->change_count,
        .is_complete = is_complete,
        .position = session->end,
    };
    if (!apply_to(session, &group, err)) {
        char lsn[LSN_TEXT];
        return err_wrap(err, "after position %s", lsn_format(session->stored.lsn, lsn));
    }
    int64_t took_us = clock_us() - since;
    trace_group(&group, session->transactions, took_us);
    session->change_count = 0;
    session->bytes = 0;
    drop_older(session);
    session->is_started = !is_complete && !session->is_ahead;
    arena_reset(session->arena);
    metrics_add(session->engine->metrics, METRIC_APPLY_SECONDS, (uint64_t)took_us);
    return !is_complete || note_applied(session, err);
}

static bool has_group(const struct session *session)
{
    return session->change_count > 0 || session->is_started;
}

static bool is_over_bounds(const struct session *session)
{
    const struct settings *settings = session->engine->settings;
    return session->change_count >= (size_t)settings->group_max_changes ||
           session->bytes >= (size_t)settings->group_max_bytes ||
           (session->change_count > 0 &&
            clock_ms() - session->group_ms >= settings->group_max_time_ms);
}

/* --- positions of nothing to apply --- */

/* Nothing committed is in flight: the position of a keepalive may be stored, then reported. */
static bool store_idle(struct session *session, struct err *err)
{
    if (session->idle_lsn <= session->stored.lsn || has_group(session) ||
        session->is_in_transaction)
        return true;
    session->end.lsn = session->idle_lsn;
    return fault_point("position.idle", err) && apply(session, true, err);
}

static bool store_idle_at_times(struct session *session, struct err *err)
{
    int64_t interval = session->engine->settings->idle_position_interval_ms;
    if (atomic_load(&session->engine->stay) != SOURCE_STAYS) /* it waits for this very position */
        interval = 0;
    return clock_ms() - session->stored_ms < interval || store_idle(session, err);
}

/* What has ended holds nothing to apply: its position is stored with the next group, or at
 * intervals. */
static bool finish_group(struct session *session, struct err *err)
{
    if (has_group(session))
        return apply(session, true, err);
    session->idle_lsn = MAX_OF(session->idle_lsn, session->end.lsn);
    session->transactions = 0;
    return store_idle_at_times(session, err);
}

/* --- changes --- */

/* Parked tables, and relations that the keeper does not know. *ret_is_skipped: their changes are
 * left out. */
static bool look_at(struct session *session, const struct relation *relation, bool *ret_is_skipped,
                    struct err *err)
{
    const struct keeper_table *table = NULL;
    if (relation->serial != session->known_serial &&
        (table = keeper_table_find(&session->tables, relation->oid))) {
        session->known_serial = relation->serial;
        session->is_known_parked = table->parked_lsn != 0;
    }
    *ret_is_skipped = false;
    if (relation->serial == session->known_serial) {
        *ret_is_skipped = session->is_known_parked;
        return true;
    }
    enum stranger stranger = engine_stranger(session->engine, relation->oid);
    if (stranger == STRANGER_NEW && session->is_ahead) {
        session->engine->newcomer = 0; /* nobody but the transaction itself may see it yet */
        (void)err_set(err, ERR_RETRY, "%s.%s is not known", relation->schema, relation->name);
        return ahead_give_up(session->ahead, err);
    }
    switch (stranger) {
    case STRANGER_NEW:
        return err_set(err, ERR_RETRY, "%s.%s has come to the source", relation->schema,
                       relation->name);
    case STRANGER_SKIPPED:
        *ret_is_skipped = true;
        return true;
    case STRANGER_APPLIED:
        return true;
    }
    return true;
}

static bool take_truncate(struct session *session, const struct change *change, struct err *err)
{
    if (session->is_ahead) { /* its lock keeps readers away */
        (void)err_set(err, ERR_RETRY, "it empties a table");
        return ahead_give_up(session->ahead, err);
    }
    size_t size = change->truncated_count * sizeof(*change->truncated);
    const struct relation **left = arena_alloc(session->arena, size + 1);
    size_t known = 0;
    for (size_t i = 0; i < change->truncated_count; i++) {
        bool is_skipped = false;
        if (!look_at(session, change->truncated[i], &is_skipped, err))
            return false;
        if (is_skipped)
            resync_keep(session->resync, change, change->truncated[i], session->xid);
        else
            left[known++] = change->truncated[i];
    }
    const struct relation **all = arena_alloc(session->arena, size + 1);
    memcpy(all, left, known * sizeof(*left));
    size_t count =
        handover_filter(session->handover, left, known, session->xid, session->commit_lsn);
    if (count == 0)
        return true;
    struct truncated truncated = {all, known, left, count};
    if (!route_check_truncate(session->engine, &session->tables, &truncated, err))
        return false;
    struct change *own = arena_alloc(session->arena, sizeof(*own));
    *own = *change;
    own->truncated = left;
    own->truncated_count = count;
    add_change(session, own);
    return true;
}

static bool take_row(struct session *session, const struct change *change, struct err *err)
{
    bool is_skipped = false;
    if (!look_at(session, change->relation, &is_skipped, err))
        return false;
    if (is_skipped)
        resync_keep(session->resync, change, change->relation, session->xid);
    else if (!handover_skips(session->handover, change, session->xid, session->commit_lsn))
        add_change(session, change);
    return true;
}

static bool take_begin(struct session *session, const struct change *change, struct err *err)
{
    if (session->until && !session->resync && change->lsn >= session->until) {
        session->is_reached = true;
        return finish_group(session, err);
    }
    session->is_in_transaction = true;
    session->xid = change->xid;
    session->commit_lsn = change->lsn;
    return true;
}

static bool take_commit(struct session *session, const struct change *change, struct err *err)
{
    session->is_in_transaction = false;
    session->end.lsn = change->end_lsn;
    session->commit_us = change->time_us;
    session->transactions++;
    if (!has_group(session) || is_over_bounds(session))
        return finish_group(session, err);
    return true;
}

/* --- a transaction ahead of its commit --- */

static bool begin_piece(struct session *session, const struct change *change, struct err *err)
{
    if (has_group(session) && !finish_group(session, err))
        return false;
    session->is_in_transaction = true;
    session->is_ahead = true;
    session->xid = change->xid;
    session->commit_lsn = UINT64_MAX;
    return true;
}

static bool end_piece(struct session *session, struct err *err)
{
    if (session->change_count > 0 && !apply(session, false, err))
        return false;
    session->is_in_transaction = false;
    session->is_ahead = false;
    return true;
}

static bool commit_ahead(struct session *session, const struct change *change, struct err *err)
{
    if (session->until && !session->resync && change->lsn >= session->until) {
        session->is_reached = true;
        return finish_group(session, err);
    }
    if (has_group(session) && !finish_group(session, err))
        return false;
    session->end.lsn = change->end_lsn;
    session->commit_us = change->time_us;
    session->transactions++;
    return ahead_commit(session->ahead, &session->end, err) && note_applied(session, err);
}

/* All before has been copied whole, or is not copied any more: nothing that comes now is held by
 * the copy, nothing is set aside. */
static void allow_ahead(struct session *session)
{
    ahead_allow(session->ahead,
                !session->resync && session->stored.lsn >= handover_end(session->handover));
}

/* Ends no group but the last one: under load the source sends a keepalive behind almost every
 * transaction, and a group would then hold one. */
static bool take_idle(struct session *session, const struct change *change, struct err *err)
{
    bool is_last = session->until && change->end_lsn >= session->until;
    if (is_last && has_group(session) && !finish_group(session, err))
        return false;
    char lsn[LSN_TEXT];
    log_trace("keepalive: everything before %s has come", lsn_format(change->end_lsn, lsn));
    session->idle_lsn = MAX_OF(session->idle_lsn, change->end_lsn);
    if (session->until && !session->resync && session->idle_lsn >= session->until)
        session->is_reached = true;
    return true;
}

static bool take_change(struct session *session, const struct change *change, struct err *err)
{
    switch (change->kind) {
    case CHANGE_BEGIN:
        return take_begin(session, change, err);
    case CHANGE_COMMIT:
        return take_commit(session, change, err);
    case CHANGE_IDLE:
        return take_idle(session, change, err);
    case CHANGE_STREAM_START:
        return begin_piece(session, change, err);
    case CHANGE_STREAM_STOP:
        return end_piece(session, err);
    case CHANGE_STREAM_COMMIT:
        return commit_ahead(session, change, err);
    case CHANGE_STREAM_ABORT:
        return ahead_abort(session->ahead, err);
    case CHANGE_TRUNCATE:
        return take_truncate(session, change, err);
    case CHANGE_INSERT:
    case CHANGE_UPDATE:
    case CHANGE_DELETE:
        return take_row(session, change, err);
    }
    return true;
}

/* A source transaction larger than the bounds goes out in pieces of one target transaction. */
static bool take_batch(struct session *session, struct batch *take_batch, struct err *err)
{
    hold_batch(session, take_batch);
    session->bytes += batch_bytes(take_batch);
    for (const struct change *change = batch_first(take_batch); change && !session->is_reached;
         change = change->next)
        if (!take_change(session, change, err))
            return false;
    if (session->is_in_transaction && is_over_bounds(session) && session->change_count > 0 &&
        !apply(session, false, err))
        return false;
    if (session->change_count == 0)
        drop_held(session);
    return resync_settle(session->resync, err);
}

/* Tables that are copied anew join between transactions, in a transaction of their own at the
 * position that all others have reached. `until` waits for them. */
static bool let_join(struct session *session, struct err *err)
{
    if (!session->resync)
        return true;
    if (!resync_look(session->resync, err))
        return false;
    uint64_t lsn = MAX_OF(session->idle_lsn, session->end.lsn);
    if (session->is_in_transaction || !resync_is_ready(session->resync, lsn))
        return true;
    if (has_group(session) && !finish_group(session, err))
        return false;
    session->end.lsn = lsn;
    if (!resync_join(session->resync, session->target, &session->tables, &session->end, err))
        return false;
    session->stored = session->end;
    session->stored_ms = clock_ms();
    session->known_serial = 0;
    if (resync_is_over(session->resync))
        resync_close(&session->resync);
    session->is_reached = session->until && !session->resync && lsn >= session->until;
    return park_tell(session->engine, &session->tables);
}

static bool when_idle(struct session *session, struct err *err)
{
    if (!session->is_in_transaction && has_group(session) && !finish_group(session, err))
        return false;
    if (!session->is_in_transaction)
        metrics_set(session->engine->metrics, METRIC_LAG_SECONDS, 0);
    if (session->change_count == 0)
        drop_held(session);
    /* To ask after each group would keep the next one waiting. */
    return store_idle_at_times(session, err) &&
           (clock_ms() - session->told_ms < IDLE_TELL_MS || tell_durable(session, 0, err));
}

/* --- the loop --- */

/* A stop ends between groups: the one in hand is finished when its transaction is whole. What is
 * known to hold nothing is stored too: the next start need not read it again. */
static bool stop_here(struct session *session, struct err *err)
{
    if (!session->is_in_transaction && has_group(session) && !finish_group(session, err))
        return false;
    return store_idle(session, err) && tell_durable(session, FINAL_FLUSH_MS, err) &&
           err_set(err, ERR_STOP, "stopped");
}

static bool finish_reached(struct session *session, struct err *err)
{
    session->idle_lsn = MAX_OF(session->idle_lsn, session->stored.lsn);
    return store_idle(session, err) && tell_durable(session, FINAL_FLUSH_MS, err);
}

/* The source has been promoted since: what is stored from now on belongs to the new timeline. */
static bool note_timeline(struct session *session, struct err *err)
{
    struct engine *engine = session->engine;
    uint32_t timeline = stream_reader_timeline(session->reader);
    if (timeline == engine->pipeline.timeline)
        return true;
    engine->pipeline.timeline = timeline;
    return keeper_set_timeline(engine->keeper, &engine->ref, timeline, err);
}

static bool look_for_attached(struct session *session, struct err *err)
{
    const struct engine *engine = session->engine;
    if (!attached_are_silent(engine) || session->is_started ||
        clock_ms() - session->look_ms < engine->settings->idle_position_interval_ms)
        return true;
    session->look_ms = clock_ms();
    return attached_look(session->engine, &session->tables, err);
}

/* Nothing that has come is left to be applied or stored. */
static bool is_up_to_date(const struct session *session)
{
    return !has_group(session) && !session->is_in_transaction &&
           session->idle_lsn <= session->stored.lsn;
}

static bool follow_on(struct session *session, struct err *err)
{
    struct queue *queue = stream_reader_queue(session->reader);
    bool has_received = false;
    while (!session->is_reached) {
        void *item = NULL;
        if (stop_raised(session->engine->soft) && !session->is_started)
            return stop_here(session, err);
        if (!look_for_attached(session, err) || !let_join(session, err))
            return false;
        if (session->is_reached)
            break;
        allow_ahead(session);
        enum queue_result result = queue_pop(queue, &item, 0);
        if (result == QUEUE_TIMEOUT) { /* no input waits: what is whole commits now */
            if (!when_idle(session, err))
                return false;
            if (has_received && is_up_to_date(session))
                engine_recovered(session->engine);
            int64_t since = clock_us();
            result = queue_pop(queue, &item, IDLE_POP_MS);
            metrics_add(session->engine->metrics, METRIC_WAIT_SECONDS,
                        (uint64_t)(clock_us() - since));
        }
        if (result == QUEUE_CLOSED)
            return err_set(err, ERR_NONE, "reader ended"); /* its own error says why */
        if (result == QUEUE_OK) {
            has_received = true;
            if (!take_batch(session, item, err) || !note_timeline(session, err))
                return false;
        }
        metrics_set(session->engine->metrics, METRIC_QUEUE_BYTES, queue_bytes(queue));
    }
    return finish_reached(session, err);
}

/* --- a session --- */

static void note_conflict(const char *text)
{
    log_warn("%s", text);
}

static bool open_target(struct session *session, struct err *err)
{
    struct engine *engine = session->engine;
    AUTO(str_free) char *name = engine_name(engine, "apply");
    struct postgres_options options = {
        .url = engine->settings->target,
        .application_name = name,
        .keeper = engine->ref,
        .tables = &session->tables,
        .is_raw = engine->is_raw,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
        .metrics = engine->metrics,
        .on_conflict = engine->settings->on_conflict,
        .apply_mode = engine->settings->apply_mode,
        .disable_triggers = engine->settings->disable_triggers,
        .via_root = engine->settings->publish_via_root,
        .note = note_conflict,
        .failure = &engine->failure,
    };
    return ahead_end_former(engine, err) &&
           keeper_tables(engine->keeper, &engine->ref, &session->tables, err) &&
           park_tell(engine, &session->tables) &&
           handover_new(&session->tables, &engine->pipeline, &session->handover, err) &&
           postgres_open(&options, &session->target, err) &&
           session->target->ops->load(session->target, &session->stored, err) &&
           (session->ahead = ahead_new(engine, &options, session->target)) &&
           resync_open(engine, &session->tables, &session->resync, err);
}

static uint64_t newest_end(const struct session *session)
{
    uint64_t end = session->engine->pipeline.schema_lsn;
    for (size_t i = 0; i < session->tables.count; i++)
        end = MAX_OF(end, session->tables.items[i].end_lsn);
    return end;
}

static bool run_session(struct session *session, struct err *err)
{
    struct engine *engine = session->engine;
    session->reader_name = engine_name(engine, "stream");
    if (!open_target(session, err))
        return false;
    session->end = session->stored;
    session->stored_ms = clock_ms();
    char lsn[LSN_TEXT];
    log_debug("the target stands at %s", lsn_format(session->stored.lsn, lsn));
    if (session->until && !session->resync && session->stored.lsn >= session->until)
        return tell_durable(session, FINAL_FLUSH_MS, err);
    struct stream_options options = {
        .url = engine->settings->source,
        .slot = engine->slot,
        .publication = engine->publication,
        .inserts_publication = engine->inserts_publication,
        .application_name = session->reader_name,
        .name_prefix = engine->name_prefix,
        .system_id = engine->system_id,
        .timeline = engine->pipeline.timeline,
        .copied_lsn = newest_end(session),
        .target_version = engine->target_version,
        .wants_text = engine->wants_text,
        .work_mem = engine->settings->logical_decoding_work_mem,
        .is_streaming = engine->settings->streaming,
        .spill_memory = (size_t)engine->settings->spill_memory,
        .spill_dir = engine->settings->spill_dir,
        .batch_bytes = BATCH_BYTES,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = session->reader_stop,
        .stay = &engine->stay,
        .ahead = &engine->ahead,
        .metrics = engine->metrics,
    };
    allow_ahead(session);
    atomic_store(&engine->stay, SOURCE_STAYS); /* if it does not, it takes no session of ours */
    return stream_reader_start(&options, &session->stored, session->reader_stop,
                               (size_t)engine->settings->queue_bytes, &session->reader, err) &&
           follow_on(session, err);
}

static void close_session(struct session *session, struct err *err)
{
    struct err why = {0};
    resync_close(&session->resync);
    stream_reader_stop(&session->reader, &why, &session->engine->wants_text);
    /* The applier noticed the end of the queue only: the reader knows the reason. */
    if (err->kind == ERR_NONE)
        (void)err_copy(err, &why);
    ahead_free(&session->ahead);
    if (session->target)
        session->target->ops->free(&session->target);
    drop_held(session);
    free(session->held);
    free(session->changes);
    arena_free(&session->arena);
    stop_free(&session->reader_stop);
    free(session->reader_name);
    handover_free(&session->handover);
    keeper_tables_release(&session->tables);
}

static bool follow_once(struct engine *engine, uint64_t until, struct err *err)
{
    struct session session = {
        .engine = engine,
        .until = until,
        .reader_stop = stop_new(),
        .arena = arena_new(),
    };
    *err = (struct err){0};
    atomic_store(&engine->ahead.has_failed, false);
    apply_failure_release(&engine->failure);
    engine->has_resync_failed = false;
    bool is_done = run_session(&session, err);
    struct err unused = {0};
    close_session(&session, is_done ? &unused : err);
    return is_done;
}

bool engine_follow(struct engine *engine, uint64_t until, struct err *err)
{
    while (!follow_once(engine, until, err)) {
        if (engine->newcomer)
            return false;
        bool is_parked = park_may(engine) && park_failed(engine, err) &&
                         engine->settings->on_apply_error == APPLY_ERROR_PARK;
        if (stop_raised(engine->soft))
            return is_parked || err->kind == ERR_STOP || err->kind == ERR_RETRY
                       ? err_set(err, ERR_STOP, "stopped")
                       : false;
        if (is_parked || ahead_has_given_up(engine, err))
            continue;
        if (!engine->has_started || !engine_reconnect(engine, err))
            return false;
    }
    return true;
}
