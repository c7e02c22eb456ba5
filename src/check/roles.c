/* What the two roles may do, and what is set for them. Texts name roles and tables quoted, as the
 * hints need them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"
#include "source/publication.h"

bool check_replicates(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    "SELECT rolreplication OR rolsuper, rolname FROM pg_catalog.pg_roles"
                    " WHERE rolname = current_user",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 0))
        return true;
    check->lacks_replication = true;
    AUTO(buf_release) struct buf role = BUF_INIT;
    quote_ident(&role, rows_text(rows, 0, 1));
    check_error(check, "replication_role",
                str_fmt("role %s may not replicate from the source", role.data),
                str_fmt("ALTER ROLE %s REPLICATION", role.data));
    return true;
}

bool check_readable(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(str_free) char *selected = check_oids(check);
    const char *params[] = {selected};
    if (!conn_query_params(check->source,
                           "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c"
                           " WHERE c.oid = ANY ($1::oid[])"
                           " AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1",
                           1, params, &rows, err))
        return false;
    AUTO(buf_release) struct buf all = BUF_INIT;
    for (int i = 0; i < rows_count(rows); i++) {
        names_add(&names, rows_text(rows, i, 0), NULL);
        buf_fmt(&all, "%s%s", i ? ", " : "", rows_text(rows, i, 0));
    }
    if (names.count)
        check_error(
            check, "select_privilege",
            str_fmt("role %s may not read %s on the source", check->source_role, names_end(&names)),
            str_fmt("GRANT SELECT ON %s TO %s", all.data, check->source_role));
    return true;
}

/* The sequences that the copy makes: those of unselected tables stay away. */
static const char sequences_sql[] =
    "SELECT pg_catalog.string_agg(s.name, ', ' ORDER BY s.name) FROM (SELECT"
    "  c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    "   AND d.objid = c.oid AND d.refclassid = d.classid AND d.refobjsubid > 0"
    "   AND d.deptype IN ('a', 'i')"
    "  WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'"
    "  AND n.nspname <> 'information_schema' AND n.nspname <> $2 AND NOT " CATALOG_IS_KEEPER(
        "n.oid") "  AND (d.refobjid IS NULL OR d.refobjid = ANY ($1::oid[]))"
                 "  AND CASE WHEN c.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege("
                 "    c.oid, 'SELECT') ELSE false END) s(name)";

bool check_sequences(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *selected = check_oids(check);
    const char *params[] = {selected, check->ref.schema};
    if (!conn_query_params(check->source, sequences_sql, 2, params, &rows, err))
        return false;
    if (rows_text(rows, 0, 0))
        check_error(check, "sequence_privilege",
                    str_fmt("role %s may not read the sequences %s on the source",
                            check->source_role, rows_text(rows, 0, 0)),
                    str_fmt("GRANT SELECT ON %s TO %s", rows_text(rows, 0, 0), check->source_role));
    return true;
}

bool check_schema_usage(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *selected = check_oids(check);
    const char *params[] = {selected};
    if (!conn_query_params(check->source,
                           "SELECT pg_catalog.string_agg(q.name, ', ' ORDER BY 1) FROM"
                           " (SELECT DISTINCT pg_catalog.quote_ident(n.nspname)"
                           "  FROM pg_catalog.pg_class c"
                           "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                           "  WHERE c.oid = ANY ($1::oid[])"
                           "  AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')) q(name)",
                           1, params, &rows, err))
        return false;
    if (rows_text(rows, 0, 0))
        check_error(
            check, "schema_privilege",
            str_fmt("role %s may not use schema %s of the source", check->source_role,
                    rows_text(rows, 0, 0)),
            str_fmt("GRANT USAGE ON SCHEMA %s TO %s", rows_text(rows, 0, 0), check->source_role));
    return true;
}

/* Ownership lets a table join a publication, and change its replica identity. A partition goes
 * with its root. $2: the publications that carry a table already. */
static const char owners_sql[] =
    "SELECT pg_catalog.string_agg(c.oid::pg_catalog.regclass::text, ', '),"
    " pg_catalog.quote_ident(o.rolname), o.rolsuper FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_roles o ON o.oid = c.relowner WHERE c.oid = ANY ($1::oid[]) AND NOT "
    "c.relispartition"
    " AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r"
    "  JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
    "  WHERE r.prrelid = c.oid AND p.pubname = ANY ($2::text[]))"
    " GROUP BY o.oid, 2, 3 ORDER BY 1";

/* The tables for which ownership is needed. Owned; an array's text. */
static char *owned_oids(const struct check *check)
{
    struct buf oids = BUF_INIT;
    bool is_full = check->settings->tables_without_identity == WITHOUT_IDENTITY_FULL;
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        if (check_publishes(check) || (is_full && !table->has_identity))
            array_add_oid(&oids, table->oid);
    }
    (void)array_end(&oids);
    return buf_take(&oids);
}

bool check_owners(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = owned_oids(check);
    AUTO(str_free) char *second = check->slot ? publication_inserts_name(check->slot) : NULL;
    AUTO(buf_release) struct buf ours = BUF_INIT;
    if (check->slot) {
        array_add(&ours, check->publication);
        array_add(&ours, second);
    }
    const char *params[] = {oids, array_end(&ours)};
    if (!conn_query_params(check->source, owners_sql, 2, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_error(check, "owner",
                    str_fmt("role %s may not publish %s on the source: it is not its owner",
                            check->source_role, rows_text(rows, i, 0)),
                    rows_bool(rows, i, 2) /* membership would make our role one too */
                        ? str_fmt("give them an owner who is no superuser, and grant that role to "
                                  "%s",
                                  check->source_role)
                        : str_fmt("GRANT %s TO %s; -- or use the owner's role",
                                  rows_text(rows, i, 1), check->source_role));
    return true;
}

static bool check_create(struct check *check, struct conn *conn, const char *what, const char *code,
                         struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn,
                    "SELECT pg_catalog.quote_ident(pg_catalog.current_database()),"
                    " pg_catalog.quote_ident(current_user), pg_catalog.has_database_privilege("
                    "   pg_catalog.current_database(), 'CREATE')",
                    &rows, err))
        return false;
    if (!rows_bool(rows, 0, 2))
        check_error(check, code,
                    str_fmt("role %s may not create objects in the %s database %s",
                            rows_text(rows, 0, 1), what, rows_text(rows, 0, 0)),
                    str_fmt("GRANT CREATE ON DATABASE %s TO %s", rows_text(rows, 0, 0),
                            rows_text(rows, 0, 1)));
    return true;
}

bool check_source_create(struct check *check, struct err *err)
{
    return !check_publishes(check) ||
           check_create(check, check->source, "source", "source_create_privilege", err);
}

bool check_target_create(struct check *check, struct err *err)
{
    return check_create(check, check->target, "target", "target_create_privilege", err);
}

/* The setting that holds for our role in this database, of all that may be there. */
static const char timeouts_sql[] =
    "SELECT DISTINCT ON (c.name) c.name, c.value,"
    " CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ALTER ROLE ALL'"
    "  WHEN s.setrole = 0 THEN pg_catalog.format('ALTER DATABASE %I', d.datname)"
    "  WHEN s.setdatabase = 0 THEN pg_catalog.format('ALTER ROLE %I', r.rolname)"
    "  ELSE pg_catalog.format('ALTER ROLE %I IN DATABASE %I', r.rolname, d.datname) END"
    " FROM pg_catalog.pg_db_role_setting s"
    " CROSS JOIN pg_catalog.pg_database d CROSS JOIN pg_catalog.pg_roles r"
    " CROSS JOIN LATERAL (SELECT pg_catalog.split_part(x, '=', 1), pg_catalog.split_part(x, '=', 2)"
    "   FROM pg_catalog.unnest(s.setconfig) x) c(name, value)"
    " WHERE d.datname = pg_catalog.current_database() AND r.rolname = session_user"
    " AND s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)"
    " AND c.name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',"
    "  'idle_session_timeout', 'transaction_timeout')"
    " ORDER BY c.name, s.setrole = 0, s.setdatabase = 0";

static bool check_timeouts_of(struct check *check, struct conn *conn, const char *what,
                              const char *role, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, timeouts_sql, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const char *value = rows_text(rows, i, 1);
        if (strtol(value, NULL, 10) == 0)
            continue;
        check_warning(check, "timeout",
                      str_fmt("%s is %s for role %s on the %s; trunkline's own sessions set it "
                              "aside",
                              rows_text(rows, i, 0), value, role, what),
                      str_fmt("%s RESET %s", rows_text(rows, i, 2), rows_text(rows, i, 0)));
    }
    return true;
}

bool check_source_timeouts(struct check *check, struct err *err)
{
    return check_timeouts_of(check, check->source, "source", check->source_role, err);
}

bool check_target_timeouts(struct check *check, struct err *err)
{
    return check_timeouts_of(check, check->target, "target", check->target_role, err);
}

/* Our sessions set row_security off: where policies would hide rows, the copy fails. */
bool check_row_security(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (!conn_query_params(check->source,
                           "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c"
                           " WHERE c.oid = ANY ($1::oid[])"
                           " AND pg_catalog.row_security_active(c.oid) ORDER BY 1",
                           1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        names_add(&names, rows_text(rows, i, 0), NULL);
    if (names.count)
        check_error(check, "row_security",
                    str_fmt("row security hides rows of %s from role %s on the source",
                            names_end(&names), check->source_role),
                    str_fmt("ALTER ROLE %s BYPASSRLS", check->source_role));
    return true;
}
