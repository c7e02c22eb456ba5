/* The keeper's rows: pipeline, position, tables, parts. See keeper.h. */
#include "keeper/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/quote.h"

enum { PLAN_BYTES = 256 * 1024 };

static const char *const phase_names[] = {
    [KEEPER_CREATED] = "created", [KEEPER_SLOT] = "slot",       [KEEPER_TABLES] = "tables",
    [KEEPER_ROWS] = "rows",       [KEEPER_INDEXES] = "indexes", [KEEPER_FOLLOWING] = "following",
};

char *keeper_position_sql(const char *schema)
{
    return quote_sql("UPDATE %I.position SET lsn = $3::pg_lsn,"
                     " updated_at = pg_catalog.clock_timestamp()"
                     " WHERE slot = $1 AND lsn = $2::pg_lsn",
                     schema);
}

char *keeper_part_sql(const char *schema)
{
    return quote_sql("INSERT INTO %I.parts (slot, source_oid, part, rows, bytes)"
                     " VALUES ($1, $2::oid, $3::int, $4::bigint, $5::bigint)",
                     schema);
}

char *keeper_snapshot_schema(const char *schema)
{
    return str_fmt("%.54s_snapshot", schema); /* names have 63 bytes */
}

char *keeper_snapshot_name(const char *schema)
{
    return str_fmt("%s.snapshot", schema);
}

const char *keeper_phase_name(enum keeper_phase phase)
{
    return phase_names[phase];
}

void keeper_pipeline_release(struct keeper_pipeline *pipeline)
{
    free(pipeline->slot);
    free(pipeline->publication);
    free(pipeline->system_id);
    free(pipeline->database);
    free(pipeline->schema_snapshot);
    free(pipeline->patterns);
    free(pipeline->source_id);
    free(pipeline->waits_for);
    free(pipeline->fresh_at);
    *pipeline = (struct keeper_pipeline){0};
}

static bool read_phase(const char *name, enum keeper_phase *ret_phase, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(phase_names); i++)
        if (strcmp(phase_names[i], name) == 0) {
            *ret_phase = (enum keeper_phase)i;
            return true;
        }
    return err_set(err, ERR_FATAL, "the keeper holds an unknown phase \"%s\"", name);
}

/* A keeper of an older program is read before it is brought up to date: what it does not have yet
 * is as the migrations will have it. */
bool keeper_load(struct conn *conn, const char *schema, bool *ret_found,
                 struct keeper_pipeline *ret_pipeline, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    enum keeper_phase phase = KEEPER_CREATED;
    AUTO(str_free)
    char *sql =
        quote_sql("SELECT p.slot, p.publication, p.system_id, p.database, p.timeline, p.epoch,"
                  " p.phase, p.schema_snapshot, p.schema_lsn, p.patterns, o.lsn,"
                  " p.later ->> 'source_id', p.later ->> 'waits_for',"
                  " (p.later ->> 'consistent_from')::pg_catalog.pg_lsn,"
                  " (p.later ->> 'fresh_at')::timestamptz,"
                  " coalesce((p.later ->> 'is_snapshot')::bool, false),"
                  " coalesce((p.later ->> 'is_making_slot')::bool, false)"
                  " FROM (SELECT *, pg_catalog.to_jsonb(r) AS later FROM %I.pipeline r) p"
                  " LEFT JOIN %I.position o USING (slot)",
                  schema, schema);
    if (!conn_query(conn, sql, &rows, err))
        return err_wrap(err, "could not read the keeper");
    *ret_found = rows_count(rows) > 0;
    if (!*ret_found)
        return true;
    if (!read_phase(rows_text(rows, 0, 6), &phase, err))
        return false;
    *ret_pipeline = (struct keeper_pipeline){
        .slot = str_dup(rows_text(rows, 0, 0)),
        .publication = str_dup(rows_text(rows, 0, 1)),
        .system_id = str_dup(rows_text(rows, 0, 2)),
        .database = str_dup(rows_text(rows, 0, 3)),
        .timeline = rows_oid(rows, 0, 4),
        .epoch = (uint64_t)rows_int(rows, 0, 5),
        .phase = phase,
        .schema_snapshot = str_dup(rows_text(rows, 0, 7)),
        .schema_lsn = rows_lsn(rows, 0, 8),
        .patterns = str_dup(rows_text(rows, 0, 9)),
        .position = rows_lsn(rows, 0, 10),
        .source_id = str_dup(rows_text(rows, 0, 11)),
        .waits_for = str_dup(rows_text(rows, 0, 12)),
        .consistent_from = rows_lsn(rows, 0, 13),
        .fresh_at = str_dup(rows_text(rows, 0, 14)),
        .is_snapshot = rows_bool(rows, 0, 15),
        .is_making_slot = rows_bool(rows, 0, 16),
    };
    return true;
}

bool keeper_create(struct conn *conn, const char *schema, const struct keeper_pipeline *pipeline,
                   struct err *err)
{
    return conn_execf(conn, err,
                      "INSERT INTO %I.pipeline (slot, publication, system_id, database,"
                      " timeline, phase, patterns, source_id, program, is_snapshot)"
                      " VALUES (%L, %L, %L, %L, %l, 'created', %L, %L, %L, %L)",
                      schema, pipeline->slot, pipeline->publication, pipeline->system_id,
                      pipeline->database, (int64_t)pipeline->timeline, pipeline->patterns,
                      pipeline->source_id, "trunkline " TRUNKLINE_VERSION,
                      pipeline->is_snapshot ? "true" : "false") ||
           err_wrap(err, "could not record the pipeline");
}

bool keeper_set_phase(struct conn *conn, const struct keeper_ref *ref, enum keeper_phase phase,
                      struct err *err)
{
    return conn_execf(conn, err,
                      "UPDATE %I.pipeline SET phase = %L, updated_at = now()"
                      " WHERE slot = %L",
                      ref->schema, phase_names[phase], ref->slot) ||
           err_wrap(err, "could not record the phase");
}

bool keeper_set_making_slot(struct conn *conn, const struct keeper_ref *ref, struct err *err)
{
    return conn_execf(conn, err, "UPDATE %I.pipeline SET is_making_slot = true WHERE slot = %L",
                      ref->schema, ref->slot) ||
           err_wrap(err, "could not record the slot's making");
}

bool keeper_set_slot(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn, struct err *err)
{
    char text[LSN_TEXT];
    return conn_execf(conn, err,
                      "BEGIN; INSERT INTO %I.position (slot, lsn) VALUES (%L, %L)"
                      " ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn;"
                      " UPDATE %I.pipeline SET phase = 'slot', is_making_slot = false,"
                      " updated_at = now() WHERE slot = %L; COMMIT",
                      ref->schema, ref->slot, lsn_format(lsn, text), ref->schema, ref->slot) ||
           err_wrap(err, "could not record the slot");
}

bool keeper_set_following(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn,
                          struct err *err)
{
    char text[LSN_TEXT];
    (void)lsn_format(lsn, text);
    return conn_execf(conn, err,
                      "BEGIN; INSERT INTO %I.position (slot, lsn) VALUES (%L, %L)"
                      " ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn;"
                      " UPDATE %I.pipeline SET phase = 'following', updated_at = now(),"
                      " consistent_from = greatest(consistent_from, %L) WHERE slot = %L; COMMIT",
                      ref->schema, ref->slot, text, ref->schema, text, ref->slot) ||
           err_wrap(err, "could not record the slot");
}

bool keeper_set_timeline(struct conn *conn, const struct keeper_ref *ref, uint32_t timeline,
                         struct err *err)
{
    return conn_execf(conn, err, "UPDATE %I.pipeline SET timeline = %l WHERE slot = %L",
                      ref->schema, (int64_t)timeline, ref->slot) ||
           err_wrap(err, "could not record the timeline");
}

bool keeper_set_schema(struct conn *conn, const struct keeper_ref *ref, const char *snapshot,
                       uint64_t lsn, struct err *err)
{
    char text[LSN_TEXT];
    return conn_execf(conn, err,
                      "UPDATE %I.pipeline SET schema_snapshot = %L, schema_lsn = %L"
                      " WHERE slot = %L",
                      ref->schema, snapshot, lsn_format(lsn, text), ref->slot) ||
           err_wrap(err, "could not record the schema's snapshot");
}

bool keeper_position(struct conn *conn, const struct keeper_ref *ref, uint64_t *ret_lsn,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    AUTO(str_free)
    char *sql = quote_sql("SELECT lsn FROM %I.position WHERE slot = $1", ref->schema);
    if (!conn_query_params(conn, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the position");
    if (rows_count(rows) == 0)
        return err_set(err, ERR_FATAL, "the keeper has no position for slot \"%s\"", ref->slot);
    *ret_lsn = rows_lsn(rows, 0, 0);
    return true;
}

bool keeper_tables(struct conn *conn, const struct keeper_ref *ref,
                   struct keeper_tables *ret_tables, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    AUTO(str_free)
    char *sql = quote_sql("SELECT source_oid, schema_name, table_name, snapshot, end_lsn,"
                          " signature, is_copied, is_ours, target_oid,"
                          " coalesce((pg_catalog.to_jsonb(t) ->> 'is_insert_only')::bool, false),"
                          " (pg_catalog.to_jsonb(t) ->> 'parked_lsn')::pg_catalog.pg_lsn,"
                          " coalesce((pg_catalog.to_jsonb(t) ->> 'is_resync')::bool, false)"
                          " FROM %I.tables t WHERE slot = $1 ORDER BY source_oid",
                          ref->schema);
    if (!conn_query_params(conn, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the tables of the copy");
    struct keeper_tables tables = {.count = (size_t)rows_count(rows)};
    tables.items = mem_alloc(tables.count * sizeof(*tables.items));
    for (int i = 0; i < rows_count(rows); i++)
        tables.items[i] = (struct keeper_table){
            .oid = rows_oid(rows, i, 0),
            .schema = str_dup(rows_text(rows, i, 1)),
            .name = str_dup(rows_text(rows, i, 2)),
            .snapshot = str_dup(rows_text(rows, i, 3)),
            .end_lsn = rows_lsn(rows, i, 4),
            .signature = str_dup(rows_text(rows, i, 5)),
            .is_copied = rows_bool(rows, i, 6),
            .is_ours = rows_bool(rows, i, 7),
            .target_oid = rows_oid(rows, i, 8),
            .is_insert_only = rows_bool(rows, i, 9),
            .parked_lsn = rows_lsn(rows, i, 10),
            .is_resync = rows_bool(rows, i, 11),
        };
    *ret_tables = tables;
    return true;
}

void keeper_tables_release(struct keeper_tables *tables)
{
    for (size_t i = 0; i < tables->count; i++) {
        free(tables->items[i].schema);
        free(tables->items[i].name);
        free(tables->items[i].snapshot);
        free(tables->items[i].signature);
    }
    free(tables->items);
    *tables = KEEPER_TABLES_INIT;
}

static int compare_oid(const void *a, const void *b)
{
    uint32_t left = ((const struct keeper_table *)a)->oid;
    uint32_t right = ((const struct keeper_table *)b)->oid;
    return (left > right) - (left < right);
}

const struct keeper_table *keeper_table_find(const struct keeper_tables *tables, uint32_t oid)
{
    struct keeper_table key = {.oid = oid};
    if (!tables->count)
        return NULL;
    return bsearch(&key, tables->items, tables->count, sizeof(key), compare_oid);
}

bool keeper_forget_table(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                         struct err *err)
{
    return conn_execf(conn, err, "DELETE FROM %I.tables WHERE slot = %L AND source_oid = %u",
                      ref->schema, ref->slot, oid) ||
           err_wrap(err, "could not forget a table of the copy");
}

bool keeper_plan_end(struct keeper_plan *plan, struct err *err)
{
    const struct keeper_ref *ref = plan->ref;
    if (plan->rows.len == 0)
        return true;
    AUTO(str_free)
    char *insert = quote_sql("INSERT INTO %I.tables (slot, source_oid, target_oid, schema_name,"
                             " table_name, snapshot, end_lsn, signature, parts, is_ours,"
                             " is_insert_only) VALUES ",
                             ref->schema);
    AUTO(str_free) char *rows = buf_take(&plan->rows);
    AUTO(str_free) char *all = str_fmt("%s%s", insert, rows);
    AUTO(str_free) char *oids = buf_take(&plan->oids);
    AUTO(str_free)
    char *forget = quote_sql("DELETE FROM %I.tables WHERE slot = %L AND source_oid IN (%s)",
                             ref->schema, ref->slot, oids);
    return (conn_exec(plan->conn, forget, err) && conn_exec(plan->conn, all, err)) ||
           err_wrap(err, "could not record the tables of the copy");
}

bool keeper_plan_table(struct keeper_plan *plan, const struct keeper_table *table, int parts,
                       struct err *err)
{
    char text[LSN_TEXT];
    buf_fmt(&plan->oids, "%s%u", plan->oids.len ? "," : "", table->oid);
    quote_add(&plan->rows, "%s(%L, %u, %u, %L, %L, %L, %L, %L, %d, %s, %s)",
              plan->rows.len ? "," : "", plan->ref->slot, table->oid, table->target_oid,
              table->schema, table->name, table->snapshot, lsn_format(table->end_lsn, text),
              table->signature, parts, table->is_ours ? "true" : "false",
              table->is_insert_only ? "true" : "false");
    return plan->rows.len < PLAN_BYTES || keeper_plan_end(plan, err);
}

void keeper_plan_release(struct keeper_plan *plan)
{
    buf_release(&plan->oids);
    buf_release(&plan->rows);
}

bool keeper_set_snapshot(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                         const char *snapshot, uint64_t end_lsn, struct err *err)
{
    char text[LSN_TEXT];
    return conn_execf(conn, err,
                      "UPDATE %I.tables SET snapshot = %L, end_lsn = %L"
                      " WHERE slot = %L AND source_oid = %u",
                      ref->schema, snapshot, lsn_format(end_lsn, text), ref->slot, oid) ||
           err_wrap(err, "could not record a table's snapshot");
}

bool keeper_finish_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err)
{
    return conn_execf(conn, err,
                      "UPDATE %I.tables t SET is_copied = true"
                      " WHERE slot = %L AND NOT is_copied AND parts ="
                      " (SELECT pg_catalog.count(*) FROM %I.parts p"
                      "  WHERE p.slot = t.slot AND p.source_oid = t.source_oid)",
                      ref->schema, ref->slot, ref->schema) ||
           err_wrap(err, "could not record the copied tables");
}

bool keeper_forget_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err)
{
    return conn_execf(conn, err,
                      "BEGIN; DELETE FROM %I.tables WHERE slot = %L;"
                      " UPDATE %I.pipeline SET consistent_from = NULL WHERE slot = %L; COMMIT",
                      ref->schema, ref->slot, ref->schema, ref->slot) ||
           err_wrap(err, "could not forget the tables");
}

bool keeper_restart_table(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                          struct err *err)
{
    return conn_execf(conn, err,
                      "BEGIN; UPDATE %I.tables SET is_copied = false, parts = -1"
                      " WHERE slot = %L AND source_oid = %u;"
                      " DELETE FROM %I.parts WHERE slot = %L AND source_oid = %u; COMMIT",
                      ref->schema, ref->slot, oid, ref->schema, ref->slot, oid) ||
           err_wrap(err, "could not forget a copied table");
}

bool keeper_set_insert_only(struct conn *conn, const struct keeper_ref *ref, uint32_t oid,
                            bool is_insert_only, struct err *err)
{
    return conn_execf(
               conn, err,
               "UPDATE %I.tables SET is_insert_only = %s WHERE slot = %L AND source_oid = %u",
               ref->schema, is_insert_only ? "true" : "false", ref->slot, oid) ||
           err_wrap(err, "could not record what is published of a table");
}

bool keeper_restart_tables(struct conn *conn, const struct keeper_ref *ref, struct err *err)
{
    return conn_execf(conn, err,
                      "BEGIN; UPDATE %I.tables SET is_copied = false WHERE slot = %L;"
                      " DELETE FROM %I.parts WHERE slot = %L; COMMIT",
                      ref->schema, ref->slot, ref->schema, ref->slot) ||
           err_wrap(err, "could not forget the copied tables");
}

bool keeper_set_waits(struct conn *conn, const struct keeper_ref *ref, const char *what,
                      struct err *err)
{
    return conn_execf(conn, err, "UPDATE %I.pipeline SET waits_for = %L WHERE slot = %L",
                      ref->schema, what, ref->slot) ||
           err_wrap(err, "could not record what is waited for");
}

bool keeper_set_patterns(struct conn *conn, const struct keeper_ref *ref, const char *patterns,
                         struct err *err)
{
    return conn_execf(conn, err, "UPDATE %I.pipeline SET patterns = %L WHERE slot = %L",
                      ref->schema, patterns, ref->slot) ||
           err_wrap(err, "could not record the table patterns");
}

bool keeper_set_consistent(struct conn *conn, const struct keeper_ref *ref, uint64_t lsn,
                           struct err *err)
{
    char text[LSN_TEXT];
    return conn_execf(conn, err, "UPDATE %I.pipeline SET consistent_from = %L WHERE slot = %L",
                      ref->schema, lsn_format(lsn, text), ref->slot) ||
           err_wrap(err, "could not record where the target is consistent");
}

bool keeper_set_fresh(struct conn *conn, const struct keeper_ref *ref, const char *fresh_at,
                      struct err *err)
{
    return conn_execf(conn, err, "UPDATE %I.pipeline SET fresh_at = %L WHERE slot = %L",
                      ref->schema, fresh_at, ref->slot) ||
           err_wrap(err, "could not record how fresh the target is");
}
