/* The PostgreSQL target: opening, the table of operations. See postgres.h. */
#include "target/postgres/postgres.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/postgres/inside.h"

static const char NOT_PERMITTED[] = "42501"; /* insufficient_privilege */

struct postgres *postgres_of(struct target *target)
{
    return (struct postgres *)target; /* first member */
}

/* The position that we read may have been committed asynchronously by the session before ours: it
 * is durable only when the WAL up to now is flushed. */
static bool postgres_load(struct target *target, struct position *ret_applied, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    AUTO(rows_free) struct rows *rows = NULL;
    uint64_t lsn = 0;
    if (!keeper_position(pg->conn, &pg->options.keeper, &lsn, err) ||
        !conn_query(pg->conn, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return false;
    pg->start = (struct position){.lsn = lsn};
    postgres_note_committed(pg, &pg->start, rows_lsn(rows, 0, 0));
    *ret_applied = pg->start;
    return true;
}

static void postgres_free(struct target **target)
{
    struct postgres *pg = postgres_of(*target);
    struct destination *destination, *next;
    HASH_ITER (hh, pg->destinations, destination, next) {
        HASH_DEL(pg->destinations, destination);
        destination_free(&destination);
    }
    while ((destination = pg->retired)) {
        pg->retired = destination->next_retired;
        destination_free(&destination);
    }
    conn_free(&pg->conn);
    conn_free(&pg->lookup);
    row_array_release(&pg->news);
    row_array_release(&pg->olds);
    arena_free(&pg->arena);
    free(pg->name);
    free(pg->position_sql);
    free(pg);
    *target = NULL;
}

/* Under TRIGGERS_AUTO a role that may not is no error: the pipeline sees to it that nothing acts
 * twice (postgres_is_replica). */
static bool switch_triggers_off(struct postgres *pg, struct err *err)
{
    enum disable_triggers wish = pg->options.disable_triggers;
    if (wish == TRIGGERS_FIRE)
        return true;
    struct err why = {0};
    pg->is_replica = conn_exec(pg->conn, "SET session_replication_role = replica", &why);
    if (pg->is_replica || (wish == TRIGGERS_AUTO && strcmp(why.sqlstate, NOT_PERMITTED) == 0))
        return true;
    (void)err_copy(err, &why);
    (void)err_wrap(err, "could not switch triggers and foreign keys off for our session");
    return err_hint(err, "GRANT SET ON PARAMETER session_replication_role TO the role of the "
                         "target URL (PostgreSQL 14: make it a superuser)");
}

/* Commits need not wait for the disk: durable is only what postgres_flushed() reports, and what
 * follows in the WAL cannot survive what stands before it. Each statement of ours finds rows by a
 * key that an index has: the plan must use it whatever the statistics say, of a table that was
 * never analysed too. Where the WAL is, is asked for after each commit. */
static const char session_sql[] =
    "SET synchronous_commit = off; SET enable_seqscan = off; SET enable_hashjoin = off;"
    " SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;"
    " PREPARE wal AS SELECT pg_catalog.format('%s %s', pg_catalog.pg_current_wal_insert_lsn(),"
    " pg_catalog.pg_current_wal_flush_lsn())";

static bool prepare_session(struct postgres *pg, struct err *err)
{
    AUTO(str_free) char *block_size = NULL;
    if (!conn_exec(pg->conn, session_sql, err) || !switch_triggers_off(pg, err) ||
        !conn_text(pg->conn, "SHOW wal_block_size", &block_size, err))
        return false;
    pg->wal_block_size = strtoull(block_size, NULL, 10);
    return true;
}

bool postgres_open(const struct postgres_options *options, struct target **ret_target,
                   struct err *err)
{
    static const struct target_ops ops = {
        .can = CAN_TRANSACT | CAN_DDL | CAN_RAW_COPY | CAN_KEEP_POSITION,
        .load = postgres_load,
        .part_begin = postgres_part_begin,
        .part_rows = postgres_part_rows,
        .part_commit = postgres_part_commit,
        .part_abort = postgres_part_abort,
        .apply = postgres_apply,
        .succeed = postgres_succeed,
        .flushed = postgres_flushed,
        .free = postgres_free,
    };
    struct postgres *pg = mem_alloc(sizeof(*pg));
    struct target *target = &pg->target;
    target->ops = &ops;
    pg->options = *options;
    pg->name = str_dup(options->application_name); /* the lookup connection is opened later */
    pg->options.application_name = pg->name;
    pg->position_sql = keeper_position_sql(options->keeper.schema);
    pg->arena = arena_new();
    struct conn_options conn = {
        .url = options->url,
        .what = "target",
        .is_raw = options->is_raw,
        .application_name = options->application_name,
        .connect_timeout_ms = options->connect_timeout_ms,
        .tcp_user_timeout_ms = options->tcp_user_timeout_ms,
        .stop = options->stop,
    };
    if (!conn_open(&conn, &pg->conn, err) || !prepare_session(pg, err)) {
        postgres_free(&target);
        return false;
    }
    *ret_target = target;
    return true;
}

bool postgres_is_replica(const struct target *target)
{
    return ((const struct postgres *)target)->is_replica;
}
