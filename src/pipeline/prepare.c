/* From nothing to a slot whose start is stored: lock, keeper, publication, slot, in this order.
 *
 * Each step is recorded before or together with what it makes, so that a start after kill -9 goes
 * on where the last one died: phase `created` means that publication and slot may be there. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "check/check.h"
#include "check/side.h"
#include "keeper/source_keeper.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "pg/replication.h"
#include "pipeline/engine.h"
#include "pipeline/hold.h"
#include "pipeline/resumable.h"
#include "source/publication.h"
#include "source/slot.h"

enum {
    LOCK_WAIT_MS = 3000,
    FREE_WAIT_MS = 10000,
    RETRY_MS = 50,
    RETRY_FIRST_MS = 500,
    RETRY_LONGEST_MS = 30000,
    SLOT_ROUNDS = 10,
    SLOT_ROUNDS_MS = 30000,
};

char *engine_name(const struct engine *engine, const char *role)
{
    return str_fmt("%s%s", engine->name_prefix ? engine->name_prefix : "trunkline::", role);
}

bool engine_connect(struct engine *engine, bool is_source, const char *role, struct conn **ret_conn,
                    struct err *err)
{
    return engine_connect_until(engine, is_source, role, engine->hard, ret_conn, err);
}

bool engine_connect_until(const struct engine *engine, bool is_source, const char *role,
                          const struct stop *stop, struct conn **ret_conn, struct err *err)
{
    AUTO(str_free) char *name = engine_name(engine, role);
    struct side side = {.is_source = is_source,
                        .is_raw = !is_source && engine->is_raw,
                        .application_name = name,
                        .stop = stop};
    return side_open(engine->settings, &side, ret_conn, err);
}

bool engine_source(struct engine *engine, struct err *err)
{
    return engine->source || engine_connect(engine, true, "prepare", &engine->source, err);
}

void engine_forget_seen(struct engine *engine)
{
    engine->has_seen = false;
    table_list_release(&engine->seen_tables);
    table_list_release(&engine->seen_target);
}

static bool is_selected(const struct table *table, void *arg)
{
    struct engine *engine = arg;
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_covers(&engine->selection, &names);
}

bool engine_tables(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                   struct err *err)
{
    if (!catalog_tables(source, engine->ref.schema, ret_tables, err))
        return false;
    table_list_filter(ret_tables, is_selected, engine);
    return true;
}

/* --- the lock --- */

static bool lock_is_taken(struct engine *engine, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder holder = {0};
    if (!keeper_lock_holder(engine->keeper, &engine->ref, &holder, err))
        return false;
    (void)err_set(err, ERR_CONFIG,
                  "another engine runs this pipeline (backend %d on the target, from %s, since %s)",
                  holder.pid, holder.client ? holder.client : "local",
                  holder.since ? holder.since : "unknown");
    return err_hint(err, "stop that one first; if its host is dead, end its session with "
                         "pg_terminate_backend()");
}

/* A connection that we have given up may live on there, when the network swallowed its end. */
static bool end_former(struct engine *engine, const struct keeper_holder *former, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder holder = {0};
    if (!former->pid)
        return true;
    if (!keeper_lock_holder(engine->keeper, &engine->ref, &holder, err))
        return false;
    bool is_ours = holder.pid == former->pid && holder.since && former->since &&
                   strcmp(holder.since, former->since) == 0;
    return !is_ours || conn_execf(engine->keeper, err, "SELECT pg_catalog.pg_terminate_backend(%d)",
                                  holder.pid);
}

/* A killed engine's session may live for a moment: wait a little before giving up. */
static bool take_lock(struct engine *engine, const struct keeper_holder *former, struct err *err)
{
    int64_t until = clock_ms() + LOCK_WAIT_MS;
    for (;;) {
        if (!keeper_try_lock(engine->keeper, &engine->ref, &engine->holder, err))
            return false;
        if (engine->holder.pid)
            return true;
        engine_forget_seen(engine); /* whoever holds it may be changing things */
        if (!end_former(engine, former, err))
            return false;
        if (clock_ms() >= until)
            return lock_is_taken(engine, err);
        if (stop_wait(engine->soft, RETRY_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

/* We hold the lock: other sessions of this pipeline belong to an engine that is no more. Their
 * transactions must be over before we look at what they did. */
static bool end_orphans(struct engine *engine, struct err *err)
{
    const char *params[] = {engine->name_prefix};
    int64_t until = clock_ms() + FREE_WAIT_MS;
    for (;;) {
        AUTO(rows_free) struct rows *rows = NULL;
        if (!conn_query_params(engine->keeper,
                               "SELECT pg_catalog.pg_terminate_backend(pid)"
                               " FROM pg_catalog.pg_stat_activity"
                               " WHERE pg_catalog.starts_with(application_name, $1)"
                               " AND datname = pg_catalog.current_database()"
                               " AND pid <> pg_catalog.pg_backend_pid()"
                               " AND usename = current_user",
                               1, params, &rows, err))
            return false;
        if (rows_count(rows) == 0)
            return true;
        if (clock_ms() >= until)
            return err_set(err, ERR_RETRY,
                           "sessions of a killed engine are still working on the target");
        if (stop_wait(engine->soft, RETRY_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

/* Over the connection that the checks have left, if there is one. */
static bool lock(struct engine *engine, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder former = engine->holder;
    engine->holder = (struct keeper_holder){0};
    if ((engine->keeper || engine_connect(engine, false, "keeper", &engine->keeper, err)) &&
        take_lock(engine, &former, err))
        return end_orphans(engine, err);
    if (!engine->holder.pid) { /* the next try has to know it still */
        engine->holder = former;
        former = (struct keeper_holder){0};
    }
    return false;
}

bool engine_lock(struct engine *engine, struct err *err)
{
    conn_free(&engine->keeper);
    return lock(engine, err);
}

/* --- the slot --- */

static bool create_once(struct engine *engine, uint64_t *ret_consistent, struct err *err)
{
    AUTO(str_free) char *name = engine_name(engine, "slot");
    struct conn_options options = {
        .url = engine->settings->source,
        .what = "source",
        .application_name = name,
        .is_replication = true,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
    };
    if (!conn_open(&options, &engine->creator, err))
        return false;
    log_info("creating slot %s: waits for the transactions that run now", engine->slot);
    bool is_made = replication_create_slot(engine->creator, engine->slot, true, ret_consistent,
                                           &engine->created_snapshot, err);
    if (!is_made && strcmp(err->sqlstate, "40001") == 0) {
        /* Too many subtransactions to export: a snapshot beside the slot serves as well. */
        is_made = replication_create_slot(engine->creator, engine->slot, false, ret_consistent,
                                          NULL, err);
        conn_free(&engine->creator);
    }
    return is_made;
}

static bool drop_made(struct engine *engine, struct conn *source, struct err *err)
{
    bool is_dropped = false;
    conn_free(&engine->creator);
    str_free(&engine->created_snapshot);
    return slot_drop(source, engine->slot, &is_dropped, err);
}

/* A server forgets what commits to its catalog between the first two points of a slot's making: it
 * reads changes after that with a catalog of before ("could not map filenode", or worse, columns of
 * before). Whenever the slot is started: such a slot is made anew. So is one that an engine made
 * which died before it could tell: the keeper knows from before the making until it is accepted. */
static bool create_slot(struct engine *engine, struct conn *source, struct err *err)
{
    uint64_t consistent = 0;
    bool is_sound = false;
    int64_t give_up_ms = clock_ms() + fault_limit_ms(SLOT_ROUNDS_MS);
    if (!keeper_set_making_slot(engine->keeper, &engine->ref, err))
        return false;
    for (int round = 1; !is_sound; round++) {
        AUTO(str_free) char *before = NULL;
        AUTO(str_free) char *after = NULL;
        if (!slot_catalog(source, &before, err) || !create_once(engine, &consistent, err) ||
            !fault_point("slot.made", err) || !slot_catalog(source, &after, err))
            return false;
        is_sound = strcmp(before, after) == 0;
        if (is_sound)
            break;
        if (round >= SLOT_ROUNDS && clock_ms() > give_up_ms) {
            log_warn("tables were altered or truncated each time that slot %s was made: should the "
                     "source fail to decode their changes, remove the pipeline with tear-down and "
                     "start again when no schema changes run",
                     engine->slot);
            break;
        }
        log_info("a table was altered or truncated while the slot was made: making it again");
        if (!drop_made(engine, source, err))
            return false;
    }
    return fault_point("slot.created", err) &&
           keeper_set_slot(engine->keeper, &engine->ref, consistent, err);
}

/* --- what init made --- */

/* Who follows a pipeline that init made, as the source's keeper has it. */
static char *target_name(struct engine *engine, struct err *err)
{
    char *name = NULL;
    return conn_text(engine->keeper,
                     "SELECT s.system_identifier || '/' || pg_catalog.current_database()"
                     " FROM pg_catalog.pg_control_system() s",
                     &name, err)
               ? name
               : NULL;
}

static bool refuse_other_target(const struct source_pipeline *init, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "slot \"%s\" belongs to a pipeline with another target (%s): its changes would "
                  "be divided between the two",
                  init->slot, init->target);
    return err_hint(err, "name another slot, or remove that pipeline with tear-down");
}

static bool find_init(struct engine *engine, struct conn *source, struct source_pipeline *init,
                      struct err *err)
{
    bool is_found = false;
    if (!source_keeper_find(source, &engine->ref, &is_found, init, err))
        return false;
    if (is_found)
        str_set(&engine->source_schema, str_dup(init->schema));
    return true;
}

/* The target had this pipeline's state and lost it: where it stood is not known any more. */
static bool refuse_forgotten(const struct engine *engine, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "this target has followed slot \"%s\" before, but holds no position of it",
                  engine->slot);
    return err_hint(err, "copy the rows again (mode snapshot_and_replication), or remove the "
                         "pipeline with tear-down and run init");
}

/* A snapshot removes its slot at its end, and must not have taken somebody's. */
static bool refuse_taken(struct engine *engine, struct conn *source,
                         const struct source_pipeline *init, struct err *err)
{
    AUTO(slot_state_release) struct slot_state slot = {0};
    if (!slot_look(source, engine->slot, &slot, err))
        return false;
    if (!slot.exists && !init->slot)
        return true;
    (void)err_set(err, ERR_CONFIG, "slot \"%s\" exists already", engine->slot);
    return err_hint(err, "name another one for the snapshot with --slot");
}

/* Before anything is recorded: a second start must not find it and go on. */
static bool may_begin(struct engine *engine, struct conn *source,
                      const struct source_pipeline *init, struct err *err)
{
    if (engine->settings->resumable)
        return refuse_taken(engine, source, init, err);
    if (!init->target)
        return true;
    AUTO(str_free) char *target = target_name(engine, err);
    if (!target)
        return false;
    if (strcmp(init->target, target) != 0)
        return refuse_other_target(init, err);
    return engine->settings->mode != MODE_REPLICATION || refuse_forgotten(engine, err);
}

/* Binds what init made to this target, whose keeper knows the pipeline by now: what is bound to a
 * target that knows nothing has been followed before. */
static bool claim(struct engine *engine, struct conn *source, const struct source_pipeline *init,
                  struct err *err)
{
    bool is_ours = true;
    if (!init->slot)
        return true;
    AUTO(str_free) char *target = target_name(engine, err);
    return target && source_keeper_claim(source, init, target, &is_ours, err) &&
           (is_ours || refuse_other_target(init, err));
}

/* --- publications, then slot --- */

/* A slot of that name is there already: init's, or made by hand. It is moved past the publications,
 * which must be older than all that is decoded, unless it is known to be younger than they are. */
static bool adopt_slot(struct engine *engine, struct conn *source, bool is_younger, struct err *err)
{
    uint64_t lsn = 0;
    if ((!is_younger && !hold_wait_running(engine, source, err)) ||
        !slot_advance(source, engine->slot, &lsn, err) || !fault_point("slot.created", err))
        return false;
    log_info("using the slot %s that exists", engine->slot);
    return keeper_set_slot(engine->keeper, &engine->ref, lsn, err);
}

static bool publish_first(struct engine *engine, struct conn *source, struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    bool is_made = false;
    if (!engine_make_publications(engine, source, &is_made, err) ||
        !engine_publish(engine, source, &tables, err))
        return false;
    for (size_t i = 0; i < tables.count; i++)
        if (tables.items[i].persistence == 'u')
            log_warn("%s.%s is unlogged: its rows are copied, its changes are not in the WAL",
                     tables.items[i].schema, tables.items[i].name);
    return fault_point("publication.created", err);
}

static bool begin_with_copy(struct engine *engine, struct conn *source,
                            const struct slot_state *slot, const struct source_pipeline *init,
                            struct err *err)
{
    bool is_younger = init->published_lsn && init->published_lsn <= slot->confirmed;
    bool is_to_adopt = slot->exists && !engine->pipeline.is_making_slot;
    return keeper_forget_tables(engine->keeper, &engine->ref, err) &&
           (is_to_adopt || drop_made(engine, source, err)) && publish_first(engine, source, err) &&
           (is_to_adopt ? adopt_slot(engine, source, is_younger, err)
                        : create_slot(engine, source, err)) &&
           fault_point("slot.recorded", err);
}

static bool refuse_gap(const struct engine *engine, const struct slot_state *slot,
                       const struct source_pipeline *init, struct err *err)
{
    char from[LSN_TEXT], to[LSN_TEXT];
    if (init->slot)
        (void)err_set(err, ERR_CONFIG,
                      "slot \"%s\" stands at %s, before its publication was made at %s: the "
                      "changes in between cannot be read",
                      engine->slot, lsn_format(slot->confirmed, from),
                      lsn_format(init->published_lsn, to));
    else
        (void)err_set(err, ERR_CONFIG,
                      "slot \"%s\" stands at %s, but there is no publication \"%s\": the changes "
                      "since then cannot be read",
                      engine->slot, lsn_format(slot->confirmed, from), engine->publication);
    return err_hint(err, "copy the rows as well (mode snapshot_and_replication), or drop the slot "
                         "and run init, which makes the publication first");
}

static bool refuse_without_slot(const struct engine *engine, struct err *err)
{
    (void)err_set(err, ERR_CONFIG, "replication slot \"%s\" not found on the source", engine->slot);
    return err_hint(err,
                    "make it: %s init --source URL --slot %s; or copy the rows as well (mode "
                    "snapshot_and_replication)",
                    engine->settings->program, engine->slot);
}

/* Without a copy the stream is all there is: from the slot's position on, with nothing missing. */
static bool begin_without_copy(struct engine *engine, struct conn *source,
                               const struct slot_state *slot, const struct source_pipeline *init,
                               struct err *err)
{
    bool is_published = false;
    if (!slot->exists)
        return refuse_without_slot(engine, err);
    if (!engine_check_publications(engine, source, err) ||
        !publication_look(source, engine->publication, &is_published, err))
        return false;
    if (!is_published || (init->slot && init->published_lsn > slot->confirmed))
        return refuse_gap(engine, slot, init, err);
    if (!engine_step(engine, true, err))
        return false;
    log_info("following from %s's position, without a copy", engine->slot);
    return keeper_set_following(engine->keeper, &engine->ref, slot->confirmed, err);
}

static bool make_slot(struct engine *engine, struct conn *source, bool was_known,
                      const struct source_pipeline *init, struct err *err)
{
    AUTO(slot_state_release) struct slot_state slot = {0};
    bool has_copy = engine->settings->mode != MODE_REPLICATION;
    if (/* only a pipeline that the keeper knew can have left sessions that are ours to end */
        !slot_wait_free(source, engine->slot, was_known ? engine->name_prefix : NULL, engine->soft,
                        FREE_WAIT_MS, err) ||
        !slot_look(source, engine->slot, &slot, err))
        return false;
    return has_copy ? begin_with_copy(engine, source, &slot, init, err)
                    : begin_without_copy(engine, source, &slot, init, err);
}

static bool load(struct engine *engine, bool *ret_found, struct err *err)
{
    keeper_pipeline_release(&engine->pipeline);
    return keeper_load(engine->keeper, engine->ref.schema, ret_found, &engine->pipeline, err);
}

static bool record(struct engine *engine, const struct source_pipeline *init, struct err *err)
{
    AUTO(str_free) char *patterns = selection_text(engine->settings);
    bool is_found = false;
    struct keeper_pipeline pipeline = {
        .slot = engine->slot,
        .publication = engine->publication,
        .system_id = engine->system_id,
        .database = engine->database,
        .timeline = engine->timeline,
        .patterns = patterns,
        .source_id = init->id,
        .is_snapshot = engine->settings->resumable,
    };
    return keeper_create(engine->keeper, engine->ref.schema, &pipeline, err) &&
           fault_point("keeper.created", err) && load(engine, &is_found, err);
}

/* From whatever phase the pipeline is in to a slot, and publications that are as they should be. */
static bool bring_up(struct engine *engine, bool was_known, const struct source_pipeline *init,
                     struct err *err)
{
    bool is_known = false;
    bool is_complete = was_known && engine->pipeline.phase == KEEPER_FOLLOWING;
    if (!is_complete)
        engine_forget_seen(engine);
    if (engine->pipeline.phase == KEEPER_CREATED &&
        (!make_slot(engine, engine->source, was_known, init, err) || !load(engine, &is_known, err)))
        return false;
    if (resumable_is_complete(engine)) /* all that is left to do is to remove what it made */
        return true;
    return is_complete ? engine_step(engine, false, err)
                       : engine_look_publications(engine, engine->source, err);
}

bool engine_prepare(struct engine *engine, struct err *err)
{
    AUTO(source_pipeline_release) struct source_pipeline init = {0};
    bool is_known = false;
    if (!fault_point("start.checked", err) || !lock(engine, err) ||
        !keeper_migrate(engine->keeper, engine->ref.schema, err) || !load(engine, &is_known, err) ||
        !engine_source(engine, err) || !find_init(engine, engine->source, &init, err))
        return false;
    if (is_known ? !check_purpose(&engine->pipeline, engine->settings, err)
                 : !may_begin(engine, engine->source, &init, err))
        return false;
    bool is_good = (is_known || record(engine, &init, err)) &&
                   claim(engine, engine->source, &init, err) &&
                   bring_up(engine, is_known, &init, err);
    engine_forget_seen(engine);
    return is_good;
}

void engine_recovered(struct engine *engine)
{
    engine->lost_ms = 0;
    engine->retry_ms = 0;
}

/* How long to wait before the next try; negative: the time is up. */
static int64_t next_wait(struct engine *engine)
{
    int64_t limit = engine->settings->reconnect_timeout_ms;
    int64_t now = clock_ms();
    if (!engine->lost_ms)
        engine->lost_ms = now;
    engine->retry_ms = engine->retry_ms ? MIN_OF(engine->retry_ms * 2, (int)RETRY_LONGEST_MS)
                                        : (int)RETRY_FIRST_MS;
    int64_t left = limit ? engine->lost_ms + limit - now : engine->retry_ms;
    return left <= 0 ? -1 : MIN_OF(left, (int64_t)engine->retry_ms);
}

bool engine_reconnect(struct engine *engine, struct err *err)
{
    conn_free(&engine->source); /* whatever state it is in */
    while (err->kind == ERR_RETRY) {
        int64_t wait_ms = next_wait(engine);
        if (wait_ms < 0)
            return err_wrap(err, "gave up after reconnect_timeout");
        log_err(LOG_WARN, err);
        log_info("trying again in %d ms", (int)wait_ms);
        metrics_add(engine->metrics, METRIC_RECONNECTS, 1);
        if (stop_wait(engine->soft, (int)wait_ms))
            return err_set(err, ERR_STOP, "interrupted");
        if (engine_lock(engine, err))
            return true;
    }
    return false;
}
