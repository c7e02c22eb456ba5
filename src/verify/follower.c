/* The keeper, seen from beside: see follower.h. The engine's lock tells whether one is at work; a
 * position that stands still while one is does not end the waiting at once: it may be applying a
 * large transaction, and an idle position is stored every idle_position_interval only. */
#include "verify/follower.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/quote.h"

enum {
    FIRST_DELAY_MS = 1,
    LONGEST_DELAY_MS = 100,
    LOOK_MS = 1000,
    GONE_MS = 5000,   /* an engine may be starting again */
    STALL_MS = 60000, /* six times the idle position's interval, by default */
};

static const char NO_RIGHT[] = "42501";
static const char engine_is_gone[] = "no engine follows the source any more";

static bool serves_source(struct conn *source, const struct keeper_pipeline *pipeline)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {pipeline->system_id, pipeline->database};
    struct err unused = {0};
    return conn_query_params(source,
                             "SELECT s.system_identifier::text = $1"
                             " AND pg_catalog.current_database() = $2"
                             " AND NOT pg_catalog.pg_is_in_recovery()"
                             " FROM pg_catalog.pg_control_system() s",
                             2, params, &rows, &unused) &&
           rows_bool(rows, 0, 0);
}

static bool is_at_work(struct follower *follower, bool *ret_runs, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder holder = {0};
    struct keeper_ref ref = {follower->schema, follower->slot};
    if (!keeper_lock_holder(follower->pair->conns[SIDE_TARGET], &ref, &holder, err))
        return false;
    *ret_runs = holder.pid != 0;
    follower->was_at_work |= *ret_runs;
    return true;
}

static bool read_keeper(struct conn *target, const char *schema, bool *ret_is_found,
                        struct keeper_pipeline *pipeline, struct err *err)
{
    int version = 0;
    if (!keeper_look(target, schema, &version, err))
        return false;
    if (version == 0 || version > KEEPER_VERSION)
        return true;
    return keeper_load(target, schema, ret_is_found, pipeline, err);
}

void follower_open(struct pair *pair, const char *schema, struct follower *ret_follower)
{
    AUTO(keeper_pipeline_release) struct keeper_pipeline pipeline = {0};
    struct conn *target = pair->conns[SIDE_TARGET];
    struct err unused = {0};
    bool is_found = false;
    *ret_follower = (struct follower){.pair = pair, .schema = schema};
    if (!read_keeper(target, schema, &is_found, &pipeline, &unused))
        ret_follower->is_hidden = strcmp(unused.sqlstate, NO_RIGHT) == 0;
    if (!is_found)
        return;
    struct keeper_ref ref = {schema, pipeline.slot};
    (void)!keeper_tables(target, &ref, &ret_follower->tables, &unused);
    if (!serves_source(pair->conns[SIDE_SOURCE], &pipeline))
        return;
    ret_follower->position = pipeline.position;
    ret_follower->slot = TAKE(pipeline.slot);
    bool runs = false;
    (void)!is_at_work(ret_follower, &runs, &unused);
}

void follower_release(struct follower *follower)
{
    free(follower->slot);
    keeper_tables_release(&follower->tables);
    *follower = FOLLOWER_INIT;
}

static bool read_again(struct follower *follower, struct err *err)
{
    AUTO(keeper_pipeline_release) struct keeper_pipeline pipeline = {0};
    struct conn *target = follower->pair->conns[SIDE_TARGET];
    struct keeper_ref ref = {follower->schema, follower->slot};
    bool is_found = false;
    if (!keeper_load(target, follower->schema, &is_found, &pipeline, err))
        return false;
    if (!is_found)
        return err_set(err, ERR_RETRY, "the pipeline was torn down meanwhile");
    follower->consistent_from = pipeline.consistent_from;
    follower->position = pipeline.position;
    keeper_tables_release(&follower->tables);
    return keeper_tables(target, &ref, &follower->tables, err);
}

static const char *why_parked(const struct follower *follower, uint32_t table_oid)
{
    const struct keeper_table *table = keeper_table_find(&follower->tables, table_oid);
    if (!follower->slot || !table || !table->parked_lsn)
        return NULL;
    return table->is_resync ? "it is being copied anew (run --resync)"
                            : "it is parked: its changes are left out until it is copied anew with "
                              "run --resync";
}

/* A table that was parked when verify began may have joined again. */
bool follower_parked(struct follower *follower, uint32_t table_oid, const char **ret_why,
                     struct err *err)
{
    if (why_parked(follower, table_oid) && !read_again(follower, err))
        return false;
    *ret_why = why_parked(follower, table_oid);
    return true;
}

static const char *find_lack(const struct follower *follower, uint32_t table_oid)
{
    const struct keeper_table *table = keeper_table_find(&follower->tables, table_oid);
    if (table && !table->is_copied)
        return "it is not copied yet";
    if (table && table->parked_lsn)
        return why_parked(follower, table_oid);
    if (!follower->consistent_from || follower->position < follower->consistent_from)
        return "the copy is not complete yet";
    if (table && follower->position < table->end_lsn)
        return "its changes during the copy are not applied yet";
    return NULL;
}

bool follower_look(struct follower *follower, uint32_t table_oid, bool *ret_runs,
                   const char **ret_lack, struct err *err)
{
    bool runs = false;
    follower->gave_up = NULL;
    *ret_lack = NULL;
    *ret_runs = false;
    if (!follower->slot)
        return true;
    if (!is_at_work(follower, &runs, err) || (runs && !read_again(follower, err)))
        return false;
    if (runs)
        *ret_lack = find_lack(follower, table_oid);
    else if (follower->was_at_work)
        *ret_lack = engine_is_gone;
    *ret_runs = runs;
    return true;
}

char *follower_behind(const struct follower *follower)
{
    AUTO(rows_free) struct rows *rows = NULL;
    char position[LSN_TEXT];
    struct err unused = {0};
    if (follower->is_hidden)
        return str_fmt(
            "the role may not read schema \"%s\" on the target: whether an engine follows"
            " is not known, and what is on its way differs; name the role in the target"
            " URL that runs the engine",
            follower->schema);
    if (!follower->slot || follower->was_at_work)
        return NULL;
    const char *params[] = {lsn_format(follower->position, position)};
    if (!conn_query_params(follower->pair->conns[SIDE_SOURCE],
                           "SELECT pg_catalog.pg_size_pretty(" LSN_END_SQL " - $1::pg_lsn),"
                           " " LSN_END_SQL " <= $1::pg_lsn",
                           1, params, &rows, &unused) ||
        rows_bool(rows, 0, 1))
        return NULL;
    return str_fmt("no engine follows the source: the target is at %s, %s of WAL behind; what it"
                   " has not applied differs",
                   position, rows_text(rows, 0, 0));
}

char *follower_position_sql(const struct follower *follower)
{
    return quote_sql("SELECT lsn FROM %I.position WHERE slot = %L", follower->schema,
                     follower->slot);
}

bool passing_begin(struct follower *follower, struct passing *ret_passing, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    int64_t now_ms = clock_ms();
    follower->gave_up = NULL;
    if (!conn_query(follower->pair->conns[SIDE_SOURCE], "SELECT " LSN_END_SQL, &rows, err))
        return false;
    *ret_passing = (struct passing){
        .goal = rows_lsn(rows, 0, 0),
        .moved_at_ms = now_ms,
        .looked_at_ms = now_ms,
        .seen_at_ms = now_ms,
        .delay_ms = FIRST_DELAY_MS,
    };
    return true;
}

static bool look_again(struct follower *follower, struct passing *passing, struct err *err)
{
    int64_t now_ms = clock_ms();
    bool runs = false;
    if (now_ms - passing->looked_at_ms < LOOK_MS)
        return true;
    if (!is_at_work(follower, &runs, err))
        return false;
    passing->looked_at_ms = now_ms;
    if (follower->tell)
        follower->tell(follower->told, (int64_t)(passing->goal - passing->position));
    if (runs)
        passing->seen_at_ms = now_ms;
    if (now_ms - passing->seen_at_ms > GONE_MS)
        follower->gave_up = engine_is_gone;
    else if (now_ms - passing->moved_at_ms > STALL_MS)
        follower->gave_up = "the target's position has not moved for a minute";
    return true;
}

bool passing_pause(struct follower *follower, struct passing *passing, uint64_t position,
                   bool *ret_goes_on, struct err *err)
{
    *ret_goes_on = false;
    follower->position = position;
    if (position >= passing->goal)
        return true;
    if (position != passing->position)
        passing->moved_at_ms = clock_ms();
    passing->position = position;
    if (!look_again(follower, passing, err))
        return false;
    if (follower->gave_up)
        return true;
    if (stop_wait(follower->pair->stop, passing->delay_ms))
        return err_set(err, ERR_STOP, "interrupted");
    passing->delay_ms = MIN_OF(passing->delay_ms * 2, (int)LONGEST_DELAY_MS);
    *ret_goes_on = true;
    return true;
}

bool follower_pass(struct follower *follower, struct err *err)
{
    AUTO(str_free) char *sql = follower_position_sql(follower);
    struct passing passing = {0};
    if (!passing_begin(follower, &passing, err))
        return false;
    for (bool goes_on = true; goes_on;) {
        AUTO(rows_free) struct rows *rows = NULL;
        if (!conn_query(follower->pair->conns[SIDE_TARGET], sql, &rows, err) ||
            !passing_pause(follower, &passing, rows_lsn(rows, 0, 0), &goes_on, err))
            return false;
    }
    return true;
}
