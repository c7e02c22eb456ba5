/* What the dump of the source's schema needs and the target lacks: extensions, collations, roles.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"

/* First column of every row as an array's text. Owned. */
static char *array_of(const struct rows *rows)
{
    struct buf array = BUF_INIT;
    for (int i = 0; i < rows_count(rows); i++)
        array_add(&array, rows_text(rows, i, 0));
    (void)array_end(&array);
    return buf_take(&array);
}

/* --- extensions --- */

static const char extensions_sql[] =
    "SELECT pg_catalog.quote_ident(w.name), v.name IS NOT NULL"
    " FROM pg_catalog.unnest($1::text[]) w(name)"
    " LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = w.name"
    " LEFT JOIN pg_catalog.pg_available_extension_versions v"
    "  ON v.name = a.name AND v.version = a.default_version"
    " WHERE w.name NOT IN (SELECT extname FROM pg_catalog.pg_extension)"
    " AND (v.name IS NULL OR v.superuser AND NOT v.trusted"
    "  AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user))"
    " ORDER BY 1";

/* A selection may leave an extension out of the dump; that is known only when it is made. */
bool check_extensions(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *used = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    bool is_all = selection_is_all(&check->selection);
    if (!check_makes_schema(check))
        return true;
    if (!conn_query(check->source,
                    "SELECT extname FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'", &used,
                    err))
        return false;
    AUTO(str_free) char *names = array_of(used);
    const char *params[] = {names};
    if (!conn_query_params(check->target, extensions_sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const char *name = rows_text(rows, i, 0);
        bool is_there = rows_bool(rows, i, 1);
        (is_all ? check_error : check_warning)(
            check, is_there ? "extension_privilege" : "extension_missing",
            is_there
                ? str_fmt("extension %s, which the source has, can be made by a superuser only "
                          "on the target",
                          name)
                : str_fmt("the target's server does not have the extension %s of the source", name),
            is_there ? str_fmt("CREATE EXTENSION %s; -- on the target, as a superuser", name)
                     : str_fmt("install the package of %s on the target's server", name));
    }
    return true;
}

/* --- collations --- */

static const char used_collations_sql[] =
    "SELECT DISTINCT c.collname FROM (SELECT attcollation FROM pg_catalog.pg_attribute"
    "  WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped"
    " UNION SELECT pg_catalog.unnest(indcollation) FROM pg_catalog.pg_index"
    "  WHERE indrelid = ANY ($1::oid[])) u(oid)"
    " JOIN pg_catalog.pg_collation c ON c.oid = u.oid"
    " WHERE c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace ORDER BY 1";

bool check_collations(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *used = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (!check_makes_schema(check))
        return true;
    if (!conn_query_params(check->source, used_collations_sql, 1, params, &used, err))
        return false;
    AUTO(str_free) char *names = array_of(used);
    params[0] = names;
    if (!conn_query_params(check->target,
                           "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(w.name), ', ')"
                           " FROM pg_catalog.unnest($1::text[]) w(name)"
                           " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_collation c"
                           "  JOIN pg_catalog.pg_database d"
                           "   ON d.datname = pg_catalog.current_database()"
                           "  WHERE c.collname = w.name AND c.collencoding IN (-1, d.encoding)"
                           "  AND c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace)",
                           1, params, &rows, err))
        return false;
    if (rows_text(rows, 0, 0))
        check_error(check, "collation_missing",
                    str_fmt("the target lacks collations that columns and indexes use: %s",
                            rows_text(rows, 0, 0)),
                    str_dup("SELECT pg_catalog.pg_import_system_collations('pg_catalog'); -- on "
                            "the target, as a superuser, once its system has the locales"));
    return true;
}

/* --- roles --- */

/* Owners, grantees and policies' roles of the selected tables and their schemas; of everything when
 * everything is selected ($2), but for what our own role has there. */
static const char roles_sql[] =
    "WITH t AS (SELECT oid, relnamespace, relowner FROM pg_catalog.pg_class"
    "  WHERE oid = ANY ($1::oid[]))"
    " SELECT r.rolname, bool_or(u.is_owner) FROM ("
    "  SELECT relowner, true FROM t"
    "  UNION SELECT d.refobjid, d.deptype = 'o' FROM pg_catalog.pg_shdepend d"
    "   WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass"
    "   AND d.deptype IN ('o', 'a', 'r') AND d.dbid = (SELECT oid FROM pg_catalog.pg_database"
    "     WHERE datname = pg_catalog.current_database())"
    "   AND ($2::bool AND pg_catalog.pg_get_userbyid(d.refobjid) <> current_user"
    "    OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    "      AND d.objid IN (SELECT oid FROM t)"
    "    OR d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass"
    "      AND d.objid IN (SELECT relnamespace FROM t))) u(oid, is_owner)"
    " JOIN pg_catalog.pg_roles r ON r.oid = u.oid WHERE r.rolname !~ '^pg_'"
    " AND (u.is_owner AND $3::bool OR NOT u.is_owner AND $4::bool) GROUP BY 1 ORDER BY 1";

/* A role as it is on the target. */
struct role {
    bool exists;
    bool is_usable; /* we may act for it */
    bool is_super;
};

static bool ask_role(const struct check *check, const char *name, struct role *ret_role,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {name, check->target_version >= 160000 ? "SET" : "MEMBER"};
    if (!conn_query_params(check->target,
                           "SELECT pg_catalog.pg_has_role(oid, $2), rolsuper"
                           " FROM pg_catalog.pg_roles WHERE rolname = $1",
                           2, params, &rows, err))
        return false;
    *ret_role = (struct role){.exists = rows_count(rows) > 0};
    if (ret_role->exists) {
        ret_role->is_usable = rows_bool(rows, 0, 0);
        ret_role->is_super = rows_bool(rows, 0, 1);
    }
    return true;
}

static bool find_roles(struct check *check, const struct rows *used, struct names *missing,
                       struct names *unusable, struct err *err)
{
    for (int i = 0; i < rows_count(used); i++) {
        struct role role;
        if (!ask_role(check, rows_text(used, i, 0), &role, err))
            return false;
        AUTO(str_free) char *name = quote_sql("%I", rows_text(used, i, 0));
        AUTO(str_free) char *create = str_fmt("CREATE ROLE %s", name);
        AUTO(str_free) char *grant = str_fmt("GRANT %s TO %s", name, check->target_role);
        if (!role.exists)
            names_add(missing, name, create);
        else if (!role.is_usable && rows_bool(used, i, 1))
            names_add(unusable, name, role.is_super ? NULL : grant); /* never ask for that */
    }
    return true;
}

bool check_roles(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *used = NULL;
    AUTO(names_release) struct names missing = {0};
    AUTO(names_release) struct names unusable = {0};
    AUTO(str_free) char *oids = check_oids(check);
    const struct settings *settings = check->settings;
    const char *params[] = {oids, selection_is_all(&check->selection) ? "true" : "false",
                            settings->no_owner ? "false" : "true",
                            settings->no_privileges ? "false" : "true"};
    if (!check_makes_schema(check))
        return true;
    if (!conn_query_params(check->source, roles_sql, 4, params, &used, err) ||
        !find_roles(check, used, &missing, &unusable, err))
        return false;
    if (missing.count)
        check_warning(
            check, "role_missing",
            str_fmt("the target lacks roles of the source: %s; what they own will belong to "
                    "%s, what was granted to them is left out",
                    names_end(&missing), check->target_role),
            str_fmt("%s; -- on the target", buf_text(&missing.sql)));
    if (unusable.count)
        check_warning(check, "role_membership",
                      str_fmt("role %s may not act for owners on the target: %s; everything will "
                              "belong to %s",
                              check->target_role, names_end(&unusable), check->target_role),
                      unusable.sql.len
                          ? str_fmt("%s; -- on the target", buf_text(&unusable.sql))
                          : str_dup("give their objects on the source an owner who is no "
                                    "superuser, or say --no-owner"));
    return true;
}

/* --- what owners have taken from themselves --- */

static const char shut_sql[] =
    "SELECT c.oid::pg_catalog.regclass, n.nspname, c.relname FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r'"
    " AND NOT (pg_catalog.has_table_privilege(c.relowner, c.oid, 'SELECT')"
    "  AND pg_catalog.has_table_privilege(c.relowner, c.oid, 'INSERT')"
    "  AND pg_catalog.has_table_privilege(c.relowner, c.oid, 'UPDATE')"
    "  AND pg_catalog.has_table_privilege(c.relowner, c.oid, 'DELETE')"
    "  AND pg_catalog.has_table_privilege(c.relowner, c.oid, 'TRUNCATE')) ORDER BY 1";

/* On the target we write with the owner's rights. The copy comes before they are taken away; what
 * is there already is looked at by check_target_rights(). */
bool check_shut_tables(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(str_free) char *oids = check_oids(check);
    AUTO(str_free) char *is_super = NULL;
    const char *params[] = {oids};
    if (!check_makes_schema(check) || check->settings->no_privileges)
        return true;
    if (!conn_text(check->target,
                   "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
                   &is_super, err) ||
        !conn_query_params(check->source, shut_sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        if (!table_list_find(&check->target_tables, rows_text(rows, i, 1), rows_text(rows, i, 2)))
            names_add(&names, rows_text(rows, i, 0), NULL);
    if (names.count && is_super && is_super[0] != 't')
        check_warning(
            check, "owner_privilege",
            str_fmt("owners have taken rights on their tables from themselves: %s; so they "
                    "do on the target, and %s cannot write there once they are copied",
                    names_end(&names), check->target_role),
            str_fmt("when the copy is done, GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE "
                    "ON these tables TO %s, on the target",
                    check->target_role));
    return true;
}
