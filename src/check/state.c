/* What is there already: the keeper's pipeline on the target, slot and publication on the source.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "source/publication.h"

/* --- the keeper --- */

static bool differs(const char *what, const char *kept, const char *now, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "the target's keeper belongs to another pipeline: its %s is \"%s\", this one's "
                  "is \"%s\"",
                  what, kept, now);
    return err_hint(err, "use another target database, or remove that pipeline with tear-down");
}

static bool refuse_snapshot(const struct keeper_pipeline *kept, const struct settings *settings,
                            struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "the target holds an unfinished snapshot --resumable; its slot \"%s\" holds back "
                  "WAL on the source",
                  kept->slot);
    return err_hint(err,
                    "finish it: %s snapshot --resumable --slot %s; or give it up: tear-down "
                    "removes slot and record, then empty the target's tables",
                    settings->program, kept->slot);
}

bool check_purpose(const struct keeper_pipeline *kept, const struct settings *settings,
                   struct err *err)
{
    if (kept->is_snapshot == settings->resumable)
        return true;
    if (kept->is_snapshot)
        return refuse_snapshot(kept, settings, err);
    (void)err_set(err, ERR_CONFIG, "the target is followed by the pipeline of slot \"%s\"",
                  kept->slot);
    return err_hint(err, "name another target database for the snapshot");
}

static bool check_pipeline(const struct check *check, struct err *err)
{
    const struct keeper_pipeline *kept = &check->pipeline;
    if (check->slot && strcmp(kept->slot, check->slot) != 0)
        return differs("slot", kept->slot, check->slot, err);
    if (check->system_id && strcmp(kept->system_id, check->system_id) != 0)
        return differs("system identifier", kept->system_id, check->system_id, err);
    if (check->database && strcmp(kept->database, check->database) != 0)
        return differs("database", kept->database, check->database, err);
    if (check->system_id && check->timeline < kept->timeline) {
        (void)err_set(err, ERR_CONFIG,
                      "the source is on timeline %u, the target has followed timeline %u",
                      check->timeline, kept->timeline);
        return err_hint(err, "the source was restored from an older state: remove the pipeline "
                             "with tear-down, empty the target and copy again");
    }
    return check_purpose(kept, check->settings, err);
}

/* A snapshot of the same source starts again from nothing; another's tables are not its own. */
static bool check_record(struct check *check, struct err *err)
{
    const struct keeper_pipeline *kept = &check->pipeline;
    if ((!check->system_id || strcmp(kept->system_id, check->system_id) == 0) &&
        (!check->database || strcmp(kept->database, check->database) == 0))
        return keeper_tables(check->target, &check->ref, &check->unfinished, err);
    (void)err_set(err, ERR_CONFIG,
                  "the target holds an unfinished snapshot of another database (\"%s\" of system "
                  "%s)",
                  kept->database, kept->system_id);
    return err_hint(err, "finish that snapshot, or remove its record with tear-down and empty its "
                         "tables");
}

/* Before the source is identified: the way depends on it. */
bool check_load_keeper(struct check *check, struct err *err)
{
    int version = 0;
    if (!keeper_look(check->target, check->ref.schema, &version, err))
        return false;
    if (version > KEEPER_VERSION) {
        (void)err_set(err, ERR_CONFIG,
                      "the target's keeper has version %d, this program knows %d at most", version,
                      KEEPER_VERSION);
        return err_hint(err, "use the newer trunkline that made it");
    }
    return version == 0 ||
           keeper_load(check->target, check->ref.schema, &check->is_known, &check->pipeline, err);
}

bool check_keeper(struct check *check, struct err *err)
{
    if (!check->is_known)
        return true;
    /* Another's says nothing of what ours would have to create. */
    check->is_known = check_follows(check) ? check_pipeline(check, err) : check_record(check, err);
    return check->is_known;
}

/* A snapshot has a record of its own; one that was begun with a slot has it where pipelines have.
 */
bool check_resumable(struct check *check, struct err *err)
{
    AUTO(keeper_pipeline_release) struct keeper_pipeline kept = {0};
    const char *schema = check->settings->keeper_schema;
    bool is_found = false;
    int version = 0;
    if (check_follows(check))
        return true;
    if (!keeper_look(check->target, schema, &version, err))
        return false;
    if (version == 0 || version > KEEPER_VERSION)
        return true;
    return keeper_load(check->target, schema, &is_found, &kept, err) &&
           (!is_found || !kept.is_snapshot || refuse_snapshot(&kept, check->settings, err));
}

/* --- the slot --- */

/* In use by somebody else, of another kind, lost. */
bool check_slot(struct check *check, struct err *err)
{
    const struct slot_state *state = &check->slot_state;
    if (!check->slot || !slot_look(check->source, check->slot, &check->slot_state, err))
        return !check->slot;
    return !state->exists || slot_check(state, check->slot, check->database, err);
}

bool check_is_streaming(const struct check *check)
{
    const struct slot_state *state = &check->slot_state;
    return state->is_active && state->active_name && check->name_prefix &&
           strncmp(state->active_name, check->name_prefix, strlen(check->name_prefix)) == 0;
}

bool check_slot_use(struct check *check, struct err *err)
{
    const struct slot_state *state = &check->slot_state;
    if (!state->is_active || (check->is_known && check_is_streaming(check)))
        return true;
    (void)err_set(err, ERR_CONFIG, "slot \"%s\" is in use by pid %d (%s)", check->slot,
                  state->active_pid, state->active_name ? state->active_name : "unknown");
    return err_hint(err, "stop that client, or name another slot with --slot");
}

/* --- what init made --- */

bool check_init(struct check *check, struct err *err)
{
    bool is_found = false;
    return !check->slot ||
           source_keeper_find(check->source, &check->ref, &is_found, &check->init, err);
}

/* init binds a pipeline to the first target that follows it. */
bool check_bound(struct check *check, struct err *err)
{
    AUTO(str_free) char *target = NULL;
    if (!check->init.target)
        return true;
    if (!conn_text(check->target,
                   "SELECT s.system_identifier || '/' || pg_catalog.current_database()"
                   " FROM pg_catalog.pg_control_system() s",
                   &target, err))
        return false;
    if (strcmp(target, check->init.target) == 0)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "slot \"%s\" belongs to a pipeline with another target (%s): its changes would "
                  "be divided between the two",
                  check->slot, check->init.target);
    return err_hint(err, "name another slot, or remove that pipeline with tear-down");
}

/* Publication and slot bear one name, and only pipelines make publications of that name: one that
 * neither this target's keeper nor init knows belongs to a pipeline with another target, which
 * would lose changes if we took its slot. A slot alone, made by hand, is welcome. */
bool check_foreign(struct check *check, struct err *err)
{
    bool exists = false;
    if (check->is_known || check->init.slot || !check->slot || !check_publishes(check))
        return true;
    if (!publication_look(check->source, check->publication, &exists, err))
        return false;
    if (!exists || check->settings->mode == MODE_REPLICATION)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "publication \"%s\" exists on the source, but this target's keeper does not "
                  "know it: it may belong to a pipeline with another target",
                  check->publication);
    return err_hint(err, "name another slot with --slot; or remove that pipeline with tear-down "
                         "if nobody needs it");
}

/* --- following without a copy --- */

/* Whether the publication was there when the slot's WAL begins, by the ages of its row and of the
 * oldest catalog row that the slot needs. */
static bool is_older(const struct check *check, bool *ret_is_older, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {check->publication, check->slot};
    if (!conn_query_params(check->source,
                           "SELECT pg_catalog.age(p.xmin) > pg_catalog.age(s.catalog_xmin)"
                           " FROM pg_catalog.pg_publication p, pg_catalog.pg_replication_slots s"
                           " WHERE p.pubname = $1 AND s.slot_name = $2",
                           2, params, &rows, err))
        return false;
    *ret_is_older = rows_count(rows) > 0 && rows_bool(rows, 0, 0);
    return true;
}

static void lacks_slot(struct check *check)
{
    check_error(check, "slot_missing",
                str_fmt("replication slot \"%s\" not found on the source", check->slot),
                str_fmt("make it: %s init --source URL --slot %s; or copy the rows as well (mode "
                        "snapshot_and_replication)",
                        check->settings->program, check->slot));
}

static void has_gap(struct check *check, const char *why)
{
    char from[LSN_TEXT];
    check_error(check, "publication_younger",
                str_fmt("slot \"%s\" stands at %s, but %s: the changes in between cannot be read",
                        check->slot, lsn_format(check->slot_state.confirmed, from), why),
                str_dup("copy the rows as well (mode snapshot_and_replication), or drop the slot "
                        "and run init, which makes the publication first"));
}

/* A stream alone must have nothing missing: the publication comes before the slot. */
bool check_younger(struct check *check, struct err *err)
{
    bool exists = false, is_old = false;
    if (!check->slot || check_copies(check) || check->is_known)
        return true;
    if (!check->slot_state.exists) {
        lacks_slot(check);
        return true;
    }
    if (!publication_look(check->source, check->publication, &exists, err) ||
        !is_older(check, &is_old, err))
        return false;
    if (!exists && check_publishes(check))
        has_gap(check, "there is no publication of that name");
    else if (exists && check->init.slot && check->init.published_lsn > check->slot_state.confirmed)
        has_gap(check, "its publication was made after that");
    else if (exists && !check->init.slot && !is_old)
        has_gap(check, "its publication may have been made after that");
    return true;
}
