/* A snapshot that holds a slot. See resumable.h. Engine thread.
 *
 * Invariant: while tables of several snapshots stand on the target, the slot holds what leads from
 * one to the next; it goes when the stream has passed the last one. So what the stream does not
 * carry (tables without identity, unlogged ones, large objects) has no place in it. */
#include "pipeline/resumable.h"

#include "base/log.h"
#include "base/mem.h"
#include "source/publication.h"
#include "source/slot.h"

enum { FREE_WAIT_MS = 10000 };

bool resumable_check(const struct settings *settings, struct err *err)
{
    const char *what = NULL;
    if (settings->schema_only_tables.count)
        what = "schema_only_tables";
    else if (settings->snapshot_content != SNAPSHOT_FULL)
        what = "snapshot_mode";
    else if (settings->tables_without_identity != WITHOUT_IDENTITY_ERROR)
        what = "tables_without_identity";
    else if (settings->large_objects)
        what = "large_objects";
    else if (settings->reset)
        what = "reset";
    if (!settings->resumable || !what)
        return true;
    (void)err_set(err, ERR_CONFIG, "a snapshot that is resumable cannot have %s", what);
    return err_hint(err, "leave one of the two out");
}

void resumable_tell(const struct engine *engine)
{
    log_info("slot %s keeps WAL on the source until this snapshot ends; when it is interrupted, "
             "start it again, or give it up with %s tear-down --slot %s",
             engine->slot, engine->settings->program, engine->slot);
}

bool resumable_is_complete(const struct engine *engine)
{
    return engine->settings->resumable && engine->pipeline.phase == KEEPER_FOLLOWING;
}

static bool drop_publications(const struct engine *engine, struct conn *source, struct err *err)
{
    AUTO(str_free) char *inserts = publication_inserts_name(engine->slot);
    bool is_dropped = false;
    return (engine->settings->publication_name[0] || /* the user's own */
            publication_drop(source, engine->publication, &is_dropped, err)) &&
           publication_drop(source, inserts, &is_dropped, err);
}

bool resumable_end(struct engine *engine, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    bool is_dropped = false;
    log_info("removing slot, publication and state");
    return engine_connect(engine, true, "prepare", &source, err) &&
           slot_wait_free(source, engine->slot, engine->name_prefix, engine->soft, FREE_WAIT_MS,
                          err) &&
           slot_drop(source, engine->slot, &is_dropped, err) &&
           drop_publications(engine, source, err) &&
           keeper_drop(engine->keeper, engine->ref.schema, &is_dropped, err);
}
