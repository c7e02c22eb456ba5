/* Publications: the user's own, by publication_name; and other people's, which can make UPDATEs and
 * DELETEs of the selected tables fail today.
 *
 * The server's rule for a publication of UPDATEs or DELETEs: the table has a replica identity, a
 * row filter names columns of it only, a column list holds all of it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"
#include "source/publication.h"

enum { WITH_FILTERS = 150000 };

/* $1: OIDs of the selected tables. The usable identity is that of src/pg/catalog.c. */
#define SELECTED                                                                                \
    "WITH sel AS (SELECT c.oid, c.relnamespace, c.relreplident = 'f' AS is_full,"               \
    "  (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid"                \
    "   AND i.indisvalid AND i.indimmediate AND i.indisunique"                                  \
    "   AND CASE c.relreplident WHEN 'i' THEN i.indisreplident"                                 \
    "            WHEN 'd' THEN i.indisprimary ELSE false END"                                   \
    "   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid"         \
    "     AND a.attgenerated <> '' AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))) AS key" \
    "  FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])"                                \
    "  AND c.relkind = 'r' AND c.relpersistence = 'p'),"                                        \
    " above AS (SELECT oid, oid AS up FROM sel UNION"                                           \
    "  SELECT sel.oid, a.relid FROM sel, pg_catalog.pg_partition_ancestors(sel.oid) a) "

/* One row a table and publication ($2: names; $3: these or all others) with a filter or a list:
 * whether there is a filter, whether the list leaves columns out, whether either fails. */
static const char filters_sql[] = SELECTED
    ", k AS (SELECT sel.oid, a.attname FROM sel JOIN pg_catalog.pg_index i ON i.indexrelid = "
    "sel.key"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = sel.oid AND a.attnum = ANY "
    "(i.indkey[0:i.indnkeyatts - 1]))"
    " SELECT pg_catalog.quote_ident(p.pubname), r.prrelid::pg_catalog.regclass,"
    " bool_or(r.prqual IS NOT NULL),"
    " bool_or(EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.prrelid"
    "   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
    "   AND a.attnum <> ALL (r.prattrs::int2[]))),"
    " bool_or((p.pubupdate OR p.pubdelete) AND NOT sel.is_full AND EXISTS ("
    "   SELECT FROM pg_catalog.regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') m"
    "   JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = m[1]::int"
    "   WHERE a.attname NOT IN (SELECT k.attname FROM k WHERE k.oid = sel.oid))),"
    " bool_or((p.pubupdate OR p.pubdelete) AND r.prattrs IS NOT NULL AND (sel.is_full OR EXISTS ("
    "   SELECT FROM k WHERE k.oid = sel.oid AND k.attname NOT IN (SELECT a.attname"
    "     FROM pg_catalog.pg_attribute a"
    "     WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])))))"
    " FROM sel JOIN above ON above.oid = sel.oid"
    " JOIN pg_catalog.pg_publication_rel r ON r.prrelid = above.up"
    " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
    " WHERE (r.prrelid = sel.oid OR p.pubviaroot) AND (r.prqual IS NOT NULL OR r.prattrs IS NOT "
    "NULL)"
    " AND (p.pubname = ANY ($2::text[])) = $3::bool GROUP BY 1, 2 ORDER BY 1, 2";

static char *renew_sql(const char *publication, const char *table)
{
    return str_fmt("ALTER PUBLICATION %s DROP TABLE %s; ALTER PUBLICATION %s ADD TABLE %s",
                   publication, table, publication, table);
}

/* --- the user's own --- */

/* The topmost tables, as a publication lists them; those of oids (NULL: all). Owned. */
static char *published_names(const struct check *check, const struct rows *oids)
{
    struct buf names = BUF_INIT;
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        bool is_wanted = !oids;
        for (int row = 0; oids && row < rows_count(oids); row++)
            is_wanted = is_wanted || rows_oid(oids, row, 0) == table->oid;
        if (is_wanted && publication_is_publishable(table))
            quote_add(&names, "%s%I.%I", names.len ? ", " : "", table->schema, table->name);
    }
    return buf_take(&names);
}

static void lacks_publication(struct check *check)
{
    AUTO(str_free) char *names = published_names(check, NULL);
    check_error(
        check, "publication_missing",
        str_fmt("the source has no publication \"%s\" (publication_name)", check->publication),
        quote_sql("CREATE PUBLICATION %I FOR TABLE %s", check->publication, names));
}

static bool check_carried(struct check *check, const char *oids, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {oids, check->publication};
    if (!conn_query_params(check->source,
                           "SELECT DISTINCT CASE WHEN c.relispartition"
                           "  THEN pg_catalog.pg_partition_root(c.oid)::oid ELSE c.oid END"
                           " FROM pg_catalog.pg_class c"
                           " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                           " WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r'"
                           " AND c.relpersistence = 'p' AND NOT EXISTS (SELECT"
                           "  FROM pg_catalog.pg_publication_tables t WHERE t.pubname = $2"
                           "  AND t.schemaname = n.nspname AND t.tablename = c.relname)",
                           2, params, &rows, err))
        return false;
    if (rows_count(rows) == 0)
        return true;
    AUTO(str_free) char *names = published_names(check, rows);
    check_error(check, "publication_tables",
                str_fmt("publication \"%s\" lacks selected tables: %s", check->publication, names),
                quote_sql("ALTER PUBLICATION %I ADD TABLE %s", check->publication, names));
    return true;
}

static bool check_own_filters(struct check *check, const char *oids, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf name = BUF_INIT;
    if (check->source_version < WITH_FILTERS)
        return true;
    array_add(&name, check->publication);
    const char *params[] = {oids, array_end(&name), "true"};
    if (!conn_query_params(check->source, filters_sql, 3, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        bool fails = rows_bool(rows, i, 4) || rows_bool(rows, i, 5);
        bool differs = check_copies(check) && (rows_bool(rows, i, 2) || rows_bool(rows, i, 3));
        const char *publication = rows_text(rows, i, 0);
        const char *table = rows_text(rows, i, 1);
        const char *what = rows_bool(rows, i, 2) ? "row filter" : "column list";
        if (fails)
            check_error(check, "publication_filter",
                        str_fmt("the %s of %s in publication %s does not go with the table's "
                                "replica identity: its UPDATEs and DELETEs fail on the source",
                                what, table, publication),
                        renew_sql(publication, table));
        else if (differs)
            check_error(
                check, "publication_filter",
                str_fmt("publication %s has a %s for %s: the copy would hold more than what "
                        "is followed",
                        publication, what, table),
                renew_sql(publication, table));
    }
    return true;
}

bool check_own_publication(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {check->publication};
    if (!check->settings->publication_name[0] || !check->publication)
        return true;
    if (!conn_query_params(check->source,
                           "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate,"
                           " pubviaroot FROM pg_catalog.pg_publication WHERE pubname = $1",
                           1, params, &rows, err))
        return false;
    if (rows_count(rows) == 0) {
        lacks_publication(check);
        return true;
    }
    if (!rows_bool(rows, 0, 0))
        check_error(
            check, "publication_operations",
            str_fmt("publication \"%s\" does not publish all operations", check->publication),
            quote_sql("ALTER PUBLICATION %I SET (publish = 'insert, update, delete, truncate')",
                      check->publication));
    bool is_via_root = rows_bool(rows, 0, 1);
    if (is_via_root)
        check_error(check, "publication_via_root",
                    str_fmt("publication \"%s\" publishes partitions as their root, and leaves "
                            "their own TRUNCATEs out without a word; trunkline follows them by "
                            "themselves, and publish_via_root brings them together on the target",
                            check->publication),
                    quote_sql("ALTER PUBLICATION %I SET (publish_via_partition_root = false)",
                              check->publication));
    return (is_via_root || check_carried(check, oids, err)) && check_own_filters(check, oids, err);
}

/* --- other people's --- */

static const char published_sql[] = SELECTED
    "SELECT pg_catalog.quote_ident(p.pubname), sel.oid::pg_catalog.regclass"
    " FROM sel, pg_catalog.pg_publication p"
    " WHERE (p.pubupdate OR p.pubdelete) AND NOT sel.is_full AND sel.key IS NULL"
    " AND p.pubname <> ALL ($2::text[]) AND (p.puballtables"
    "  OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r JOIN above a ON a.up = r.prrelid"
    "   WHERE r.prpubid = p.oid AND a.oid = sel.oid)";

/* Since 15 whole schemas can be published. */
static const char in_schema_sql[] =
    "  OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s, above a"
    "   JOIN pg_catalog.pg_class c ON c.oid = a.up"
    "   WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace AND a.oid = sel.oid)";

static bool check_other_identities(struct check *check, const char *const *params, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = str_fmt("%s%s) ORDER BY 1, 2", published_sql,
                        check->source_version >= WITH_FILTERS ? in_schema_sql : "");
    if (!conn_query_params(check->source, sql, 2, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_warning(check, "other_publication",
                      str_fmt("UPDATEs and DELETEs of %s fail on the source now: publication %s "
                              "publishes them, and the table has no usable replica identity",
                              rows_text(rows, i, 1), rows_text(rows, i, 0)),
                      str_fmt("ALTER TABLE %s REPLICA IDENTITY FULL", rows_text(rows, i, 1)));
    return true;
}

static bool check_other_filters(struct check *check, const char *const *params, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (check->source_version < WITH_FILTERS)
        return true;
    if (!conn_query_params(check->source, filters_sql, 3, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const char *publication = rows_text(rows, i, 0);
        const char *table = rows_text(rows, i, 1);
        if (!rows_bool(rows, i, 4) && !rows_bool(rows, i, 5))
            continue;
        check_warning(check, "other_publication",
                      str_fmt("UPDATEs and DELETEs of %s fail on the source now: the %s in "
                              "publication %s does not go with the table's replica identity",
                              table, rows_bool(rows, i, 4) ? "row filter" : "column list",
                              publication),
                      renew_sql(publication, table));
    }
    return true;
}

/* Mostly there are none. */
static bool has_others(struct check *check, const char *ours, bool *ret_has, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ours};
    if (!conn_query_params(check->source,
                           "SELECT FROM pg_catalog.pg_publication WHERE pubname <> ALL ($1::text[])"
                           " LIMIT 1",
                           1, params, &rows, err))
        return false;
    *ret_has = rows_count(rows) > 0;
    return true;
}

bool check_other_publications(struct check *check, struct err *err)
{
    AUTO(buf_release) struct buf names = BUF_INIT;
    bool has = false;
    AUTO(str_free) char *oids = check_oids(check);
    AUTO(str_free) char *second = check->slot ? publication_inserts_name(check->slot) : NULL;
    if (check->publication)
        array_add(&names, check->publication);
    if (second)
        array_add(&names, second);
    const char *params[] = {oids, array_end(&names), "false"};
    if (!has_others(check, params[1], &has, err))
        return false;
    return !has ||
           (check_other_identities(check, params, err) && check_other_filters(check, params, err));
}
