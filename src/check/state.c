/* What is there already: the keeper's pipeline on the target, slot and publication on the source.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"

/* --- the keeper --- */

static bool differs(const char *what, const char *kept, const char *now, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "the target's keeper belongs to another pipeline: its %s is \"%s\", this one's "
                  "is \"%s\"",
                  what, kept, now);
    return err_hint(err, "use another target database, or remove that pipeline with tear-down");
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
    return true;
}

bool check_keeper(struct check *check, struct err *err)
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
    if (version < KEEPER_VERSION)
        return true;
    if (!keeper_load(check->target, check->ref.schema, &check->is_known, &check->pipeline, err))
        return false;
    return !check->is_known || check_pipeline(check, err);
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

bool check_slot_use(struct check *check, struct err *err)
{
    const struct slot_state *state = &check->slot_state;
    bool is_ours = check->is_known && state->active_name &&
                   strncmp(state->active_name, check->name_prefix, strlen(check->name_prefix)) == 0;
    if (!state->is_active || is_ours)
        return true;
    (void)err_set(err, ERR_CONFIG, "slot \"%s\" is in use by pid %d (%s)", check->slot,
                  state->active_pid, state->active_name ? state->active_name : "unknown");
    return err_hint(err, "stop that client, or name another slot with --slot");
}

/* Publication and slot bear one name, and only pipelines make publications of that name: one that
 * this target's keeper does not know belongs to a pipeline with another target, which would lose
 * changes if we took its slot. A slot alone, made by hand, is welcome. */
bool check_foreign(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {check->publication};
    if (check->is_known || !check->publication || !check_publishes(check))
        return true;
    if (!conn_query_params(check->source,
                           "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1", 1, params,
                           &rows, err))
        return false;
    if (rows_count(rows) == 0)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "publication \"%s\" exists on the source, but this target's keeper does not "
                  "know it: it may belong to a pipeline with another target",
                  check->publication);
    return err_hint(err, "name another slot with --slot; or remove that pipeline with tear-down "
                         "if nobody needs it");
}
