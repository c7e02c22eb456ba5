/* The keeper's record of parked tables. See park.h. */
#include "keeper/park.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/quote.h"

static char *oid_array(const uint32_t *oids, size_t count)
{
    struct buf text = BUF_INIT;
    buf_putc(&text, '{');
    for (size_t i = 0; i < count; i++)
        buf_fmt(&text, "%s%u", i ? "," : "", oids[i]);
    buf_putc(&text, '}');
    return buf_take(&text);
}

/* One statement: it is one transaction by itself. */
static char *park_sql(const char *schema)
{
    return quote_sql(
        "WITH failed AS (SELECT source_oid, target_oid FROM %I.tables"
        "  WHERE slot = $1 AND source_oid = ANY ($2::oid[])),"
        " parked AS (UPDATE %I.tables t SET parked_lsn = coalesce(t.parked_lsn, p.lsn),"
        "  is_resync = false FROM %I.position p"
        "  WHERE t.slot = $1 AND p.slot = $1 AND (t.parked_lsn IS NULL OR t.is_resync)"
        "  AND (t.source_oid IN (SELECT source_oid FROM failed)"
        "   OR ($3::bool AND t.target_oid IN (SELECT target_oid FROM failed)))"
        "  RETURNING t.source_oid, t.schema_name, t.table_name)"
        " INSERT INTO %I.apply_errors (slot, source_oid, schema_name, table_name, change, lsn,"
        " sqlstate, message) SELECT $1, source_oid, schema_name, table_name, $4, $5::pg_lsn,"
        " nullif($6, ''), $7 FROM parked ORDER BY 3, 4 RETURNING source_oid",
        schema, schema, schema, schema);
}

/* Bytes that the keeper's database cannot hold, of a key that was cut short, become '?'. */
static char *plain(const char *text)
{
    char *copy = str_dup(text);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return copy;
}

bool keeper_park(struct conn *conn, const struct keeper_ref *ref,
                 const struct keeper_parking *parking, size_t *ret_count, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *sql = park_sql(ref->schema);
    AUTO(str_free) char *oids = oid_array(parking->oids, parking->count);
    char lsn[LSN_TEXT];
    const char *params[] = {ref->slot,
                            oids,
                            parking->is_by_target ? "true" : "false",
                            parking->change,
                            lsn_format(parking->lsn, lsn),
                            parking->sqlstate,
                            parking->message};
    AUTO(str_free) char *change = plain(parking->change);
    AUTO(str_free) char *message = plain(parking->message);
    bool is_good = conn_query_params(conn, sql, COUNT_OF(params), params, &rows, err);
    if (!is_good && conn_refused_encoding(err)) {
        params[3] = change;
        params[6] = message;
        is_good = conn_query_params(conn, sql, COUNT_OF(params), params, &rows, err);
    }
    if (!is_good)
        return err_wrap(err, "could not record a parked table");
    *ret_count = (size_t)rows_count(rows);
    return true;
}

bool keeper_parked_read(struct conn *conn, const struct keeper_ref *ref,
                        struct keeper_parked_list *ret_list, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    AUTO(str_free)
    char *sql = quote_sql(
        "SELECT t.source_oid, t.schema_name, t.table_name, t.parked_lsn, e.change, e.lsn,"
        " e.sqlstate, e.message, e.at FROM %I.tables t LEFT JOIN LATERAL"
        " (SELECT * FROM %I.apply_errors a WHERE a.slot = t.slot AND a.source_oid = t.source_oid"
        "  ORDER BY a.number DESC LIMIT 1) e ON true"
        " WHERE t.slot = $1 AND t.parked_lsn IS NOT NULL AND NOT t.is_resync ORDER BY 2, 3",
        ref->schema, ref->schema);
    if (!conn_query_params(conn, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the parked tables");
    struct keeper_parked_list list = {.count = (size_t)rows_count(rows)};
    list.items = mem_alloc((list.count + 1) * sizeof(*list.items));
    for (int i = 0; i < rows_count(rows); i++)
        list.items[i] = (struct keeper_parked){
            .oid = rows_oid(rows, i, 0),
            .schema = str_dup(rows_text(rows, i, 1)),
            .name = str_dup(rows_text(rows, i, 2)),
            .lsn = rows_lsn(rows, i, 3),
            .change = str_dup(rows_text(rows, i, 4)),
            .change_lsn = rows_lsn(rows, i, 5),
            .sqlstate = str_dup(rows_text(rows, i, 6)),
            .message = str_dup(rows_text(rows, i, 7)),
            .at = str_dup(rows_text(rows, i, 8)),
        };
    *ret_list = list;
    return true;
}

void keeper_parked_list_release(struct keeper_parked_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct keeper_parked *parked = &list->items[i];
        free(parked->schema);
        free(parked->name);
        free(parked->change);
        free(parked->sqlstate);
        free(parked->message);
        free(parked->at);
    }
    free(list->items);
    *list = KEEPER_PARKED_LIST_INIT;
}

/* --- copied anew --- */

bool keeper_resync(struct conn *conn, const struct keeper_ref *ref, const uint32_t *oids,
                   size_t count, struct err *err)
{
    AUTO(str_free) char *list = oid_array(oids, count);
    return conn_execf(conn, err,
                      "UPDATE %I.tables t SET is_resync = true,"
                      " parked_lsn = coalesce(t.parked_lsn, p.lsn) FROM %I.position p"
                      " WHERE t.slot = %L AND p.slot = t.slot AND t.source_oid = ANY (%L::oid[])",
                      ref->schema, ref->schema, ref->slot, list) ||
           err_wrap(err, "could not record the tables to be copied anew");
}

char *keeper_side_name(uint32_t oid)
{
    return str_fmt("resync_%u", oid);
}

char *keeper_rejoin_sql(const struct keeper_ref *ref, const struct keeper_table *table)
{
    char lsn[LSN_TEXT];
    return quote_sql("UPDATE %I.tables SET schema_name = %L, table_name = %L, target_oid = %u,"
                     " snapshot = %L, end_lsn = %L, signature = %L, parked_lsn = NULL,"
                     " is_resync = false WHERE slot = %L AND source_oid = %u",
                     ref->schema, table->schema, table->name, table->target_oid, table->snapshot,
                     lsn_format(table->end_lsn, lsn), table->signature, ref->slot, table->oid);
}

bool keeper_drop_sides(struct conn *conn, const char *schema, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {schema};
    if (!conn_query_params(conn,
                           "SELECT c.relname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n"
                           " WHERE c.relnamespace = n.oid AND n.nspname = $1"
                           " AND c.relkind = 'r' AND c.relname ~ '^resync_[0-9]+$'",
                           1, params, &rows, err))
        return err_wrap(err, "could not look for tables that were being copied anew");
    for (int i = 0; i < rows_count(rows); i++)
        if (!conn_execf(conn, err, "DROP TABLE IF EXISTS %I.%I", schema, rows_text(rows, i, 0)))
            return err_wrap(err, "could not drop what was left of a table copied anew");
    return true;
}
