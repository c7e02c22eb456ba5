/* Rows of the keeper's part on the source. See source_keeper.h. */
#include "keeper/source_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "pg/lsn.h"
#include "pg/quote.h"

void source_pipeline_release(struct source_pipeline *pipeline)
{
    free(pipeline->schema);
    free(pipeline->id);
    free(pipeline->slot);
    free(pipeline->publication);
    free(pipeline->target);
    *pipeline = (struct source_pipeline){0};
}

/* The schemas that hold such a part, the preferred one first. */
static bool read_schemas(struct conn *source, const char *preferred, struct rows **ret_rows,
                         struct err *err)
{
    const char *params[] = {preferred};
    return conn_query_params(source,
                             "SELECT n.nspname FROM pg_catalog.pg_namespace n"
                             " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
                             "   AND c.relname = 'source_pipelines'"
                             " WHERE " CATALOG_IS_KEEPER(
                                 "n.oid") " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                                          " ORDER BY n.nspname <> $1, n.nspname",
                             1, params, ret_rows, err) ||
           err_wrap(err, "could not look for what init made");
}

bool source_keeper_find(struct conn *source, const struct keeper_ref *ref, bool *ret_found,
                        struct source_pipeline *ret_pipeline, struct err *err)
{
    AUTO(rows_free) struct rows *schemas = NULL;
    const char *params[] = {ref->slot};
    *ret_found = false;
    if (!read_schemas(source, ref->schema, &schemas, err))
        return false;
    for (int i = 0; i < rows_count(schemas) && !*ret_found; i++) {
        AUTO(rows_free) struct rows *rows = NULL;
        AUTO(str_free)
        char *sql = quote_sql("SELECT id, slot, publication, target, published_lsn"
                              " FROM %I.source_pipelines WHERE slot = $1",
                              rows_text(schemas, i, 0));
        if (!conn_query_params(source, sql, 1, params, &rows, err))
            return err_wrap(err, "could not read what init made");
        if (rows_count(rows) == 0)
            continue;
        *ret_found = true;
        source_pipeline_release(ret_pipeline);
        *ret_pipeline = (struct source_pipeline){
            .schema = str_dup(rows_text(schemas, i, 0)),
            .id = str_dup(rows_text(rows, 0, 0)),
            .slot = str_dup(rows_text(rows, 0, 1)),
            .publication = str_dup(rows_text(rows, 0, 2)),
            .target = str_dup(rows_text(rows, 0, 3)),
            .published_lsn = rows_lsn(rows, 0, 4),
        };
    }
    return true;
}

bool source_keeper_add(struct conn *source, const struct keeper_ref *ref, const char *publication,
                       uint64_t published_lsn, bool is_anew, struct err *err)
{
    char lsn[LSN_TEXT];
    return conn_execf(source, err,
                      "INSERT INTO %I.source_pipelines (slot, publication, published_lsn, program)"
                      " VALUES (%L, %L, %L, %L) ON CONFLICT (slot) DO UPDATE"
                      " SET published_lsn = excluded.published_lsn"
                      " WHERE source_pipelines.published_lsn = '0/0' OR %s",
                      ref->schema, ref->slot, publication, lsn_format(published_lsn, lsn),
                      "trunkline " TRUNKLINE_VERSION, is_anew ? "true" : "false") ||
           err_wrap(err, "could not record the pipeline on the source");
}

bool source_keeper_claim(struct conn *source, const struct source_pipeline *pipeline,
                         const char *target, bool *ret_is_ours, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("UPDATE %I.source_pipelines SET target = $2 WHERE slot = $1"
                          " AND coalesce(target, $2) = $2 RETURNING 1",
                          pipeline->schema);
    const char *params[] = {pipeline->slot, target};
    if (!conn_query_params(source, sql, 2, params, &rows, err))
        return err_wrap(err, "could not bind the pipeline to its target");
    *ret_is_ours = rows_count(rows) > 0;
    return true;
}

/* --- replica identities --- */

bool source_keeper_identity_full(struct conn *source, const struct keeper_ref *ref,
                                 const char *table_schema, const char *table, int lock_timeout_ms,
                                 struct err *err)
{
    AUTO(str_free) char *name = quote_sql("%I.%I", table_schema, table);
    bool is_good =
        conn_execf(source, err, "BEGIN; SET LOCAL lock_timeout = %d; LOCK TABLE ONLY %s", //
                   lock_timeout_ms, name) &&
        conn_execf(source, err,
                   "INSERT INTO %I.source_identities (slot, table_oid, identity, index_name)"
                   " SELECT %L, c.oid, c.relreplident, (SELECT x.relname FROM pg_catalog.pg_index i"
                   "   JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
                   "   WHERE i.indrelid = c.oid AND i.indisreplident)"
                   " FROM pg_catalog.pg_class c WHERE c.oid = %L::pg_catalog.regclass"
                   " ON CONFLICT DO NOTHING",
                   ref->schema, ref->slot, name) &&
        conn_execf(source, err, "ALTER TABLE ONLY %s REPLICA IDENTITY FULL; COMMIT", name);
    if (is_good)
        return true;
    struct err ignored = {0};
    (void)conn_exec(source, "ROLLBACK", &ignored);
    (void)err_wrap(err, "could not set REPLICA IDENTITY FULL on %s.%s", table_schema, table);
    if (strcmp(err->sqlstate, "55P03") != 0)
        return false;
    err->kind = ERR_RETRY;
    return err_hint(err, "a transaction holds the table for longer than identity_lock_timeout");
}

static char *back_sql(const struct rows *rows, int row)
{
    const char *table = rows_text(rows, row, 0);
    const char *index = rows_text(rows, row, 2);
    switch (rows_text(rows, row, 1)[0]) {
    case 'n':
        return str_fmt("ALTER TABLE ONLY %s REPLICA IDENTITY NOTHING", table);
    case 'i':
        return index
                   ? quote_sql("ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I", table, index)
                   : str_fmt("ALTER TABLE ONLY %s REPLICA IDENTITY NOTHING", table);
    default:
        return str_fmt("ALTER TABLE ONLY %s REPLICA IDENTITY DEFAULT", table);
    }
}

/* What another pipeline needs as well becomes its own to set back. */
static bool hand_on_identities(struct conn *source, const struct keeper_ref *ref, struct err *err)
{
    return conn_execf(
        source, err,
        "UPDATE %I.source_identities s SET slot = o.slot FROM (SELECT DISTINCT ON (i.table_oid)"
        "   i.table_oid, p.slot FROM %I.source_identities i"
        "   JOIN pg_catalog.pg_class c ON c.oid = i.table_oid"
        "   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        "   JOIN pg_catalog.pg_publication_tables t ON t.schemaname = n.nspname"
        "     AND t.tablename = c.relname"
        "   JOIN %I.source_pipelines p ON p.publication = t.pubname"
        "   WHERE i.slot = %L AND p.slot <> %L) o"
        " WHERE s.slot = %L AND s.table_oid = o.table_oid",
        ref->schema, ref->schema, ref->schema, ref->slot, ref->slot, ref->slot);
}

bool source_keeper_identities_back(struct conn *source, const struct keeper_ref *ref,
                                   int lock_timeout_ms, int *ret_count, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    AUTO(str_free)
    char *sql =
        quote_sql("SELECT c.oid::pg_catalog.regclass, s.identity, (SELECT x.relname"
                  "   FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
                  "   WHERE i.indrelid = c.oid AND x.relname = s.index_name)"
                  " FROM %I.source_identities s JOIN pg_catalog.pg_class c ON c.oid = s.table_oid"
                  " WHERE s.slot = $1 AND c.relreplident = 'f' AND NOT EXISTS ("
                  "   SELECT FROM pg_catalog.pg_publication_tables t"
                  "   JOIN pg_catalog.pg_publication p ON p.pubname = t.pubname"
                  "   JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname"
                  "   WHERE n.oid = c.relnamespace AND t.tablename = c.relname"
                  "   AND (p.pubupdate OR p.pubdelete))",
                  ref->schema);
    *ret_count = 0;
    if (!hand_on_identities(source, ref, err) ||
        !conn_query_params(source, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the replica identities to set back");
    for (int i = 0; i < rows_count(rows); i++) {
        AUTO(str_free) char *back = back_sql(rows, i);
        if (!conn_execf(source, err, "SET lock_timeout = %d; %s; RESET lock_timeout",
                        lock_timeout_ms, back))
            return err_wrap(err, "could not set back the replica identity of %s",
                            rows_text(rows, i, 0));
        (*ret_count)++;
    }
    return conn_execf(source, err, "DELETE FROM %I.source_identities WHERE slot = %L", ref->schema,
                      ref->slot);
}

/* --- the end --- */

static bool drop_all(struct conn *source, const char *schema, struct err *err)
{
    return conn_execf(source, err,
                      "DROP TABLE IF EXISTS %I.schema_log, %I.source_identities,"
                      " %I.source_pipelines, %I.source_meta",
                      schema, schema, schema, schema) &&
           conn_execf(source, err,
                      "DROP FUNCTION IF EXISTS %I.xid(timestamptz);"
                      "DROP SEQUENCE IF EXISTS %I.xid_serial; DROP DOMAIN IF EXISTS %I.xid",
                      schema, schema, schema) &&
           keeper_schema_drop_empty(source, schema, err);
}

bool source_keeper_drop(struct conn *source, const struct keeper_ref *ref, bool *ret_dropped,
                        bool *ret_is_foreign, struct err *err)
{
    AUTO(source_pipeline_release) struct source_pipeline found = {0};
    AUTO(rows_free) struct rows *left = NULL;
    struct err why = {0};
    bool exists = false;
    *ret_dropped = false;
    *ret_is_foreign = !keeper_schema_look(source, ref->schema, &exists, &why);
    if (*ret_is_foreign && why.kind != ERR_CONFIG)
        return err_copy(err, &why);
    if (!source_keeper_find(source, ref, ret_dropped, &found, err))
        return false;
    if (!*ret_dropped)
        return true;
    AUTO(str_free) char *sql = quote_sql("SELECT FROM %I.source_pipelines", found.schema);
    if (!conn_execf(source, err, "DELETE FROM %I.source_pipelines WHERE slot = %L", found.schema,
                    ref->slot) ||
        !conn_query(source, sql, &left, err))
        return err_wrap(err, "could not forget the pipeline on the source");
    return rows_count(left) > 0 || drop_all(source, found.schema, err) ||
           err_wrap(err, "could not drop the schema \"%s\" on the source", found.schema);
}
