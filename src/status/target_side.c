/* What the target tells: the keeper's rows, who holds the engine's lock. */
#include <string.h>

#include "base/mem.h"
#include "status/inside.h"

/* The keeper's pipeline, if there is one. */
static bool load(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    int version = 0;
    if (!keeper_look(reading->target, status->keeper_schema, &version, err))
        return false;
    if (version == 0)
        return true;
    if (version > KEEPER_VERSION)
        return err_set(err, ERR_CONFIG,
                       "the target's keeper has version %d, this program knows %d at most", version,
                       KEEPER_VERSION);
    if (version < KEEPER_VERSION)
        strv_take(&status->warnings,
                  str_fmt("the target's keeper is of an older program: the next start of the "
                          "engine brings it up to date"));
    reading->version = version;
    return keeper_load(reading->target, status->keeper_schema, &status->has_keeper,
                       &status->pipeline, err);
}

static bool is_other_pipeline(struct status_reading *reading)
{
    struct status *status = reading->status;
    if (status->settings->mode == MODE_SNAPSHOT || !status->settings->slot[0] ||
        strcmp(status->pipeline.slot, status->slot_name) == 0)
        return false;
    strv_take(&status->problems,
              str_fmt("the target's keeper belongs to another pipeline: its slot is \"%s\"",
                      status->pipeline.slot));
    keeper_pipeline_release(&status->pipeline);
    status->has_keeper = false;
    return true;
}

bool status_look_target(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    status->target.version = conn_version(reading->target);
    if (!load(reading, err))
        return false;
    if (!status->has_keeper || is_other_pipeline(reading))
        return true;
    str_set(&status->slot_name, str_dup(status->pipeline.slot));
    str_set(&status->publication, str_dup(status->pipeline.publication));
    struct keeper_ref ref = {status->keeper_schema, status->slot_name};
    AUTO(str_free) char *prefix = slot_session_prefix(status->slot_name);
    return keeper_lock_holder(reading->target, &ref, &status->engine, err) &&
           keeper_tables(reading->target, &ref, &reading->kept, err) &&
           (reading->version < KEEPER_VERSION ||
            keeper_parked_read(reading->target, &ref, &status->parked, err)) &&
           keeper_progress_read(reading->target, &ref, &reading->progress, err) &&
           waits_read(reading->target, "target", prefix, &status->waits, err);
}
