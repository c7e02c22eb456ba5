/* Large objects: no part of any table, and not in the stream. They are copied after the rows, under
 * the snapshot of the last of them. See large_objects.h. Engine thread.
 *
 * Invariants: all are of one snapshot. Each target transaction writes some of them, with owners,
 * grants, comments and the record of their OIDs; the last one records that these are all
 * (COMPLETE): without that mark the next attempt removes what is recorded, and begins anew. What
 * the record names was made by us, and only that is ever removed.
 *
 * Why not one transaction: the server holds a lock for each object that it removes or gives an
 * owner to until the end, in a table that all its sessions share.
 *
 * Bytes go in pieces, so memory is bounded: the beginnings of many objects at once, what is longer
 * piece by piece. */
#include "pipeline/large_objects.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "schema/array.h"

enum { AT_ONCE = 500, FIRST_BYTES = 8192, PIECE_BYTES = 1 << 20 };

#define COMPLETE "0" /* no object has this OID */

struct large_objects {
    struct engine *engine; /* borrowed */
    struct conn *source;   /* borrowed: in the snapshot's transaction */
    char *known;           /* owned: roles that the target has, an array */
    char *usable;          /* owned: those that our user there may act for */
    uint32_t last;         /* the last one copied, 0: none */
    int64_t count;
    int64_t bytes;
};

static void large_objects_release(struct large_objects *objects)
{
    str_free(&objects->known);
    str_free(&objects->usable);
}

/* --- roles --- */

/* Names, and whether each owns or granted something. */
static const char roles_sql[] =
    "SELECT coalesce(pg_catalog.array_agg(name), '{}'), coalesce(pg_catalog.array_agg(acts), '{}')"
    " FROM (SELECT pg_catalog.pg_get_userbyid(oid) AS name, bool_or(acts) AS acts FROM ("
    "   SELECT lomowner AS oid, true AS acts FROM pg_catalog.pg_largeobject_metadata"
    "   UNION SELECT e.grantor, true FROM pg_catalog.pg_largeobject_metadata,"
    "    pg_catalog.aclexplode(lomacl) e"
    "   UNION SELECT e.grantee, false FROM pg_catalog.pg_largeobject_metadata,"
    "    pg_catalog.aclexplode(lomacl) e WHERE e.grantee <> 0) u GROUP BY 1) r";

/* $1, $2: those; $3: the privilege by which a role is acted for. */
static const char known_sql[] =
    "SELECT coalesce(pg_catalog.array_agg(r.rolname) FILTER (WHERE r.oid IS NOT NULL), '{}'),"
    " coalesce(pg_catalog.array_agg(r.rolname) FILTER (WHERE pg_catalog.pg_has_role(r.oid, $3)),"
    "  '{}'),"
    " pg_catalog.string_agg(pg_catalog.quote_ident(w.name), ', ') FILTER (WHERE r.oid IS NULL"
    "  OR w.acts AND NOT pg_catalog.pg_has_role(r.oid, $3))"
    " FROM ROWS FROM (unnest($1::text[]), unnest($2::bool[])) AS w(name, acts)"
    " LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.name";

/* A grantee has only to exist; who owns or grants must be acted for. */
static bool read_roles(struct large_objects *objects, struct err *err)
{
    const struct engine *engine = objects->engine;
    AUTO(rows_free) struct rows *names = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(objects->source, roles_sql, &names, err))
        return err_wrap(err, "could not read the owners of large objects");
    const char *params[] = {rows_text(names, 0, 0), rows_text(names, 0, 1),
                            engine->target_version >= 160000 ? "SET" : "MEMBER"};
    if (!conn_query_params(engine->keeper, known_sql, 3, params, &rows, err))
        return err_wrap(err, "could not read the roles");
    objects->known = str_dup(rows_text(rows, 0, 0));
    objects->usable = str_dup(rows_text(rows, 0, 1));
    if (rows_text(rows, 0, 2))
        log_warn("large objects of roles that the target lacks, or that its user may not act for, "
                 "belong to that user; grants to and by them are left out: %s",
                 rows_text(rows, 0, 2));
    return true;
}

/* --- bytes --- */

/* The beginnings of the next ones, as arrays: OIDs, bytes in hex. */
static bool read_batch(struct large_objects *objects, struct rows **ret_rows, struct err *err)
{
    AUTO(str_free) char *last = str_fmt("%" PRIu32, objects->last);
    const char *params[] = {last};
    AUTO(str_free)
    char *sql = quote_sql("SELECT oid, pg_catalog.encode(pg_catalog.lo_get(oid, 0, %d), 'hex') FROM"
                          " (SELECT oid FROM pg_catalog.pg_largeobject_metadata"
                          "  WHERE oid > $1::pg_catalog.oid ORDER BY oid LIMIT %d) o ORDER BY oid",
                          (int)FIRST_BYTES, (int)AT_ONCE);
    return conn_query_params(objects->source, sql, 1, params, ret_rows, err) ||
           err_wrap(err, "could not read large objects");
}

static bool create_batch(struct large_objects *objects, const struct rows *rows, const char *oids,
                         struct err *err)
{
    AUTO(buf_release) struct buf hex = BUF_INIT;
    AUTO(rows_free) struct rows *ignored = NULL;
    for (int row = 0; row < rows_count(rows); row++) {
        array_add(&hex, rows_text(rows, row, 1));
        objects->bytes += (int64_t)strlen(rows_text(rows, row, 1)) / 2;
    }
    const char *params[] = {oids, array_end(&hex)};
    if (conn_query_params(objects->engine->keeper,
                          "SELECT pg_catalog.lo_from_bytea(w.oid, pg_catalog.decode(w.hex, 'hex'))"
                          " FROM ROWS FROM (unnest($1::pg_catalog.oid[]), unnest($2::text[]))"
                          "  AS w(oid, hex)",
                          2, params, &ignored, err))
        return true;
    return err_wrap(err, "could not make large objects on the target");
}

static bool copy_rest(struct large_objects *objects, const char *oid, struct err *err)
{
    size_t got = 2 * (size_t)PIECE_BYTES;
    for (int64_t offset = FIRST_BYTES; got == 2 * (size_t)PIECE_BYTES; offset += PIECE_BYTES) {
        AUTO(rows_free) struct rows *piece = NULL;
        AUTO(rows_free) struct rows *ignored = NULL;
        AUTO(str_free) char *at = str_fmt("%" PRId64, offset);
        AUTO(str_free) char *size = str_fmt("%d", (int)PIECE_BYTES);
        const char *read[] = {oid, at, size};
        if (!conn_query_params(objects->source,
                               "SELECT pg_catalog.encode(pg_catalog.lo_get($1::pg_catalog.oid,"
                               " $2::int8, $3::int), 'hex')",
                               3, read, &piece, err))
            return err_wrap(err, "could not read large object %s", oid);
        got = strlen(rows_text(piece, 0, 0));
        objects->bytes += (int64_t)got / 2;
        const char *write[] = {oid, at, rows_text(piece, 0, 0)};
        if (got && !conn_query_params(objects->engine->keeper,
                                      "SELECT pg_catalog.lo_put($1::pg_catalog.oid, $2::int8,"
                                      " pg_catalog.decode($3, 'hex'))",
                                      3, write, &ignored, err))
            return err_wrap(err, "could not write large object %s", oid);
    }
    return true;
}

/* --- owners, grants, comments --- */

/* $1: OIDs, $2: roles to act for, $3: no owners, $4: no privileges, $5: roles to name. A grant is
 * repeated as the role that gave it, when the object has its owner; its order is the list's. */
static const char properties_sql[] =
    "WITH o AS (SELECT m.oid, lomacl AS acl, pg_catalog.pg_get_userbyid(lomowner) AS owner,"
    "   NOT $3::bool AND pg_catalog.pg_get_userbyid(lomowner) = ANY ($2::text[]) AS has_owner"
    "  FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = ANY ($1::pg_catalog.oid[])),"
    " g AS (SELECT o.oid, e.n, pg_catalog.pg_get_userbyid(e.grantor) AS grantor,"
    "   CASE e.grantee WHEN 0 THEN 'PUBLIC'"
    "    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.grantee)) END AS grantee,"
    "   e.grantee = 0 OR pg_catalog.pg_get_userbyid(e.grantee) = ANY ($5::text[]) AS is_there,"
    "   e.privilege_type || ' ON LARGE OBJECT ' || o.oid AS what, e.is_grantable, o.owner"
    "  FROM o CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) WITH ORDINALITY"
    "   AS e(grantor, grantee, privilege_type, is_grantable, n) WHERE o.has_owner AND NOT $4::bool)"
    " SELECT sql FROM ("
    "  SELECT oid, 1, 0, pg_catalog.format('COMMENT ON LARGE OBJECT %s IS %L', oid, d.description)"
    "   FROM o JOIN pg_catalog.pg_description d ON d.objoid = o.oid"
    "    AND d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass"
    "  UNION ALL SELECT oid, 2, 0, pg_catalog.format('ALTER LARGE OBJECT %s OWNER TO %I', oid, "
    "owner)"
    "   FROM o WHERE has_owner"
    "  UNION ALL SELECT oid, 3, 0, pg_catalog.format('REVOKE ALL ON LARGE OBJECT %s FROM %I', oid,"
    "   owner) FROM o WHERE has_owner AND acl IS NOT NULL AND NOT $4::bool"
    "  UNION ALL SELECT oid, 4, n, CASE WHEN grantor = owner THEN '' ELSE pg_catalog.format("
    "    'SET LOCAL ROLE %I; ', grantor) END || 'GRANT ' || what || ' TO ' || grantee"
    "    || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
    "    || CASE WHEN grantor = owner THEN '' ELSE '; RESET ROLE' END"
    "   FROM g WHERE is_there AND grantor = ANY ($2::text[])"
    " ) AS s(oid, step, n, sql) ORDER BY oid, step, n";

static bool set_properties(struct large_objects *objects, const char *oids, struct err *err)
{
    const struct settings *settings = objects->engine->settings;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    const char *params[] = {oids, objects->usable, settings->no_owner ? "true" : "false",
                            settings->no_privileges ? "true" : "false", objects->known};
    if (!conn_query_params(objects->source, properties_sql, 5, params, &rows, err))
        return err_wrap(err, "could not read the owners and grants of large objects");
    for (int row = 0; row < rows_count(rows); row++)
        buf_fmt(&sql, "%s; ", rows_text(rows, row, 0));
    return sql.len == 0 || conn_exec(objects->engine->keeper, sql.data, err) ||
           err_wrap(err, "could not set owners and grants of large objects");
}

/* --- all of them --- */

static bool record(const struct large_objects *objects, const char *oids, struct err *err)
{
    const struct engine *engine = objects->engine;
    AUTO(rows_free) struct rows *ignored = NULL;
    AUTO(str_free)
    char *sql = quote_sql("INSERT INTO %I.large_objects SELECT $1, unnest($2::pg_catalog.oid[])",
                          engine->ref.schema);
    const char *params[] = {engine->ref.slot, oids};
    return conn_query_params(engine->keeper, sql, 2, params, &ignored, err);
}

static bool write_batch(struct large_objects *objects, const struct rows *rows, struct err *err)
{
    AUTO(buf_release) struct buf array = BUF_INIT;
    for (int row = 0; row < rows_count(rows); row++)
        array_add_oid(&array, rows_oid(rows, row, 0));
    const char *oids = array_end(&array);
    if (!create_batch(objects, rows, oids, err))
        return false;
    for (int row = 0; row < rows_count(rows); row++)
        if (strlen(rows_text(rows, row, 1)) == 2 * (size_t)FIRST_BYTES &&
            !copy_rest(objects, rows_text(rows, row, 0), err))
            return false;
    return set_properties(objects, oids, err) && record(objects, oids, err);
}

static bool copy_batch(struct large_objects *objects, bool *ret_is_last, struct err *err)
{
    struct conn *keeper = objects->engine->keeper;
    AUTO(rows_free) struct rows *rows = NULL;
    if (!read_batch(objects, &rows, err))
        return false;
    *ret_is_last = rows_count(rows) < AT_ONCE;
    if (rows_count(rows) == 0)
        return true;
    objects->last = rows_oid(rows, rows_count(rows) - 1, 0);
    objects->count += rows_count(rows);
    if (conn_exec(keeper, "BEGIN", err) && write_batch(objects, rows, err) &&
        conn_exec(keeper, "COMMIT", err))
        return true;
    struct err ignored = {0};
    (void)conn_exec(keeper, "ROLLBACK", &ignored);
    return false;
}

static bool copy_all(struct large_objects *objects, struct err *err)
{
    bool is_last = false;
    if (!read_roles(objects, err))
        return false;
    while (!is_last)
        if (!copy_batch(objects, &is_last, err))
            return false;
    return fault_point("copy.large_objects", err) && record(objects, "{" COMPLETE "}", err);
}

/* Whether an earlier start has copied them: the record says so. */
static bool is_done(const struct engine *engine, bool *ret_is_done, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT FROM %I.large_objects WHERE slot = $1 AND oid = " COMPLETE,
                          engine->ref.schema);
    const char *params[] = {engine->ref.slot};
    if (!conn_query_params(engine->keeper, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the keeper");
    *ret_is_done = rows_count(rows) > 0;
    return true;
}

bool large_objects_copy(struct engine *engine, struct conn *source, struct err *err)
{
    AUTO(large_objects_release)
    struct large_objects objects = {.engine = engine, .source = source};
    bool is_there = false;
    if (!engine->settings->large_objects || engine->pipeline.consistent_from != 0)
        return true;
    if (!is_done(engine, &is_there, err) || is_there)
        return is_there;
    log_info("copying large objects");
    if (!large_objects_undo(engine, err) || !copy_all(&objects, err))
        return false;
    log_info("copied %" PRId64 " large objects, %" PRId64
             " bytes: changes of them are not followed",
             objects.count, objects.bytes);
    return true;
}

/* The mark goes first, with the first of them. */
bool large_objects_undo(struct engine *engine, struct err *err)
{
    AUTO(str_free)
    char *sql =
        quote_sql("WITH gone AS (DELETE FROM %I.large_objects WHERE slot = $1 AND oid IN ("
                  "  SELECT oid FROM %I.large_objects WHERE slot = $1 ORDER BY oid LIMIT %d)"
                  " RETURNING oid)"
                  " SELECT (SELECT pg_catalog.count(*) FROM gone),"
                  " pg_catalog.count(pg_catalog.lo_unlink(m.oid)) FROM gone"
                  " JOIN pg_catalog.pg_largeobject_metadata m ON m.oid = gone.oid",
                  engine->ref.schema, engine->ref.schema, (int)AT_ONCE);
    const char *params[] = {engine->ref.slot};
    for (bool has_more = true; has_more;) {
        AUTO(rows_free) struct rows *rows = NULL;
        if (!conn_query_params(engine->keeper, sql, 1, params, &rows, err))
            return err_wrap(err, "could not remove large objects of an earlier attempt");
        has_more = rows_int(rows, 0, 0) > 0;
    }
    return true;
}
