/* What the source tells: slot, publications, tables, the held snapshot, the lag. Catalogs only:
 * functions that open a table (pg_relation_size, pg_get_publication_tables) would wait behind the
 * locks that status is asked about. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/catalog.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "source/publication.h"
#include "status/inside.h"

/* Publications carry a table by its own name, by a partitioned one above it, by its schema (from
 * 15 on: the second %s) or because they are for all tables. */
static const char tables_format[] =
    "SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'u', rn.nspname, r.relname,"
    " coalesce(pub.is_there, false), coalesce(pub.has_changes, false)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_class r"
    "   ON c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid)"
    " LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace"
    " LEFT JOIN LATERAL (SELECT true AS is_there,"
    "   pg_catalog.bool_or(p.pubupdate AND p.pubdelete) AS has_changes"
    "   FROM pg_catalog.pg_publication p WHERE p.pubname IN ($2, $3) AND (p.puballtables"
    "     OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel pr WHERE pr.prpubid = p.oid"
    "       AND (pr.prrelid = c.oid OR pr.prrelid IN"
    "         (SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid))))%s)"
    "   HAVING pg_catalog.count(*) > 0) pub ON true"
    " WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'"
    " AND n.nspname !~ '^pg_' AND n.nspname <> $1 AND NOT %s"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid"
    "   AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e')"
    " ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

static const char by_schema[] =
    " OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace pn"
    "   WHERE pn.pnpubid = p.oid AND pn.pnnspid = coalesce(r.relnamespace, c.relnamespace))";

static void take_table(struct status_reading *reading, const struct rows *rows, int row)
{
    struct selected names = {
        .schema = rows_text(rows, row, 1),
        .name = rows_text(rows, row, 2),
        .root_schema = rows_text(rows, row, 4),
        .root_name = rows_text(rows, row, 5),
    };
    if (!selection_covers(&reading->selection, &names))
        return;
    reading->tables[reading->table_count++] = (struct source_table){
        .oid = rows_oid(rows, row, 0),
        .schema = str_dup(names.schema),
        .name = str_dup(names.name),
        .is_unlogged = rows_bool(rows, row, 3),
        .is_published = rows_bool(rows, row, 6),
        .is_changeable = rows_bool(rows, row, 7),
    };
}

static bool read_tables(struct status_reading *reading, struct err *err)
{
    const struct status *status = reading->status;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *inserts = publication_inserts_name(status->slot_name);
    AUTO(str_free)
    char *sql = str_fmt(tables_format, conn_version(reading->source) >= 150000 ? by_schema : "",
                        CATALOG_IS_KEEPER("n.oid"));
    const char *params[] = {status->settings->keeper_schema, status->publication, inserts};
    if (!conn_query_params(reading->source, sql, 3, params, &rows, err))
        return err_wrap(err, "could not read the catalog");
    reading->tables = mem_alloc((size_t)rows_count(rows) * sizeof(*reading->tables));
    for (int i = 0; i < rows_count(rows); i++)
        take_table(reading, rows, i);
    return true;
}

static bool read_end(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    AUTO(rows_free) struct rows *rows = NULL;
    char restart[LSN_TEXT];
    bool knows_restart = status->slot.exists && status->slot.restart;
    const char *params[] = {
        knows_restart ? lsn_format(status->slot.restart, restart) : NULL,
        status->has_keeper ? status->pipeline.fresh_at : NULL,
        status->publication,
    };
    if (!conn_query_params(reading->source,
                           "SELECT " LSN_END_SQL ", coalesce(pg_catalog.pg_wal_lsn_diff("
                           "   pg_catalog.pg_current_wal_lsn(), $1::pg_lsn), 0)::int8,"
                           " (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()"
                           "   - $2::timestamptz) * 1000)::int8,"
                           " EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $3)",
                           3, params, &rows, err))
        return err_wrap(err, "could not read the source's WAL position");
    status->end = rows_lsn(rows, 0, 0);
    status->held_bytes = MAX_OF(rows_int(rows, 0, 1), (int64_t)0);
    if (rows_text(rows, 0, 2))
        status->lag_seconds = (double)MAX_OF(rows_int(rows, 0, 2), (int64_t)0) / 1000;
    status->has_publication = rows_bool(rows, 0, 3);
    return true;
}

/* The session that holds the copy's snapshot sits in its transaction for as long. */
static bool read_snapshot(struct status_reading *reading, const char *prefix, struct err *err)
{
    struct status *status = reading->status;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {prefix};
    if (!conn_query_params(reading->source,
                           "SELECT pid, pg_catalog.date_part('epoch',"
                           "   pg_catalog.clock_timestamp() - xact_start)::int8"
                           " FROM pg_catalog.pg_stat_activity"
                           " WHERE application_name = $1 || 'snapshot'"
                           " AND datname = pg_catalog.current_database()"
                           " AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1",
                           1, params, &rows, err))
        return err_wrap(err, "could not look for the held snapshot");
    if (rows_count(rows) == 0)
        return true;
    status->snapshot_pid = (int)rows_int(rows, 0, 0);
    status->snapshot_age_s = MAX_OF(rows_int(rows, 0, 1), (int64_t)0);
    return true;
}

bool status_look_source(struct status_reading *reading, struct err *err)
{
    struct status *status = reading->status;
    AUTO(str_free) char *prefix = slot_session_prefix(status->slot_name);
    status->source.version = conn_version(reading->source);
    return slot_look(reading->source, status->slot_name, &status->slot, err) &&
           read_end(reading, err) && read_snapshot(reading, prefix, err) &&
           waits_read(reading->source, "source", prefix, &status->waits, err) &&
           read_tables(reading, err);
}
