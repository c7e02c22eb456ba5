/* Tables whose changes are left out. See park.h. The failed group was rolled back with its session:
 * what is recorded here is the position that all tables stand at. */
#include "pipeline/park.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/park.h"

bool park_may(const struct engine *engine)
{
    bool is_wanted = engine->settings->on_apply_error == APPLY_ERROR_PARK &&
                     engine->pipeline.phase == KEEPER_FOLLOWING;
    return engine->failure.count > 0 && (is_wanted || engine->has_resync_failed);
}

bool park_failed(struct engine *engine, struct err *err)
{
    const struct apply_failure *failure = &engine->failure;
    size_t count = 0;
    struct keeper_parking parking = {
        .oids = failure->oids,
        .count = failure->count,
        .is_by_target = engine->settings->publish_via_root,
        .change = failure->change,
        .lsn = failure->lsn,
        .sqlstate = failure->sqlstate,
        .message = failure->message,
    };
    if (!fault_point("park.record", err) ||
        !keeper_park(engine->keeper, &engine->ref, &parking, &count, err))
        return false;
    if (!count) /* no table of the keeper's: a relation that is gone from the source */
        return false;
    struct err why = {0}; /* the hint is for those who stop */
    (void)err_set(&why, ERR_DATA, "%s", failure->message);
    memcpy(why.sqlstate, failure->sqlstate, sizeof(why.sqlstate));
    log_err(LOG_ERROR, &why);
    return fault_point("park.recorded", err);
}

bool park_tell(struct engine *engine, const struct keeper_tables *tables)
{
    uint64_t count = 0;
    for (size_t i = 0; i < tables->count; i++)
        count += tables->items[i].parked_lsn != 0;
    bool is_news = count != metrics_get(engine->metrics, METRIC_PARKED_TABLES);
    metrics_set(engine->metrics, METRIC_PARKED_TABLES, count);
    for (size_t i = 0; i < tables->count && is_news; i++) {
        const struct keeper_table *table = &tables->items[i];
        if (table->parked_lsn && !table->is_resync)
            log_warn("%s.%s is parked: its changes are left out until it is copied anew with "
                     "%s run --resync %s.%s",
                     table->schema, table->name, engine->settings->program, table->schema,
                     table->name);
    }
    return true;
}
