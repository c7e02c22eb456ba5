/* What PostgreSQL keeps per cluster, or beside the objects that pg_dump carries: tablespaces, label
 * providers, the settings of a database, rows in tables of extensions. */
#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"
#include "schema/present.h"

bool check_tablespaces(struct check *check, struct err *err)
{
    AUTO(str_free) char *used = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    if (!check_makes_schema(check))
        return true;
    if (!conn_text(check->source,
                   "SELECT pg_catalog.array_agg(DISTINCT s.spcname) FROM pg_catalog.pg_class c"
                   " JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace"
                   " WHERE c.oid >= 16384 AND c.relpersistence <> 't'",
                   &used, err))
        return false;
    const char *params[] = {used};
    if (used && !conn_query_params(check->target,
                                   "SELECT pg_catalog.quote_ident(w.name)"
                                   " FROM unnest($1::text[]) w(name)"
                                   " LEFT JOIN pg_catalog.pg_tablespace s ON s.spcname = w.name"
                                   " WHERE s.oid IS NULL OR"
                                   " NOT pg_catalog.has_tablespace_privilege(s.oid, 'CREATE')"
                                   " ORDER BY 1",
                                   1, params, &rows, err))
        return false;
    for (int i = 0; used && i < rows_count(rows); i++)
        names_add(&names, rows_text(rows, i, 0), NULL);
    if (names.count)
        check_warning(
            check, "tablespace_missing",
            str_fmt("the target lacks tablespaces of the source, or %s may not use them: "
                    "%s; the default one is used",
                    check->target_role, names_end(&names)),
            str_fmt("CREATE TABLESPACE on the target, and GRANT CREATE ON TABLESPACE to %s",
                    check->target_role));
    return true;
}

bool check_labels(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!check_makes_schema(check))
        return true;
    if (!conn_query(check->source,
                    "SELECT DISTINCT provider FROM pg_catalog.pg_seclabel ORDER BY 1", &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        bool has = true;
        if (!present_has_provider(check->target, rows_text(rows, i, 0), &has, err))
            return false;
        if (!has)
            check_warning(
                check, "label_provider",
                str_fmt("security labels of \"%s\" are left out: the target has not loaded "
                        "that label provider",
                        rows_text(rows, i, 0)),
                str_dup("add its library to shared_preload_libraries of the target"));
    }
    return true;
}

/* Settings as ALTER commands, as far as the target's database has none of that name. */
bool check_database_settings(struct check *check, struct err *err)
{
    AUTO(str_free) char *there = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    static const char of_database[] =
        " FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setrole = 0"
        " AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database"
        "  WHERE datname = pg_catalog.current_database())";
    AUTO(str_free)
    char *names_sql =
        str_fmt("SELECT coalesce(pg_catalog.array_agg(pg_catalog.split_part(c, '=', 1)),"
                " '{}')%s",
                of_database);
    AUTO(str_free)
    char *sql = str_fmt("SELECT pg_catalog.split_part(c, '=', 1)%s"
                        " AND pg_catalog.split_part(c, '=', 1) <> ALL ($1::text[]) ORDER BY 1",
                        of_database);
    if (!check_makes_schema(check))
        return true;
    if (!conn_text(check->target, names_sql, &there, err))
        return false;
    const char *params[] = {there};
    if (!conn_query_params(check->source, sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        names_add(&names, rows_text(rows, i, 0), NULL);
    if (names.count)
        check_warning(
            check, "database_settings",
            str_fmt("settings of the source's database are not copied: %s", names_end(&names)),
            str_dup("ALTER DATABASE … SET … on the target, where they are wanted"));
    return true;
}

/* Tables that an extension made and marked as the user's to fill; those that hold rows beyond its
 * own cannot be told without reading them, so all with the mark are looked at. */
bool check_extension_rows(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    if (!check_copies(check))
        return true;
    if (!conn_query(check->source,
                    "SELECT c.oid::pg_catalog.regclass, pg_catalog.format('SELECT EXISTS (SELECT"
                    " FROM %s %s)', c.oid::pg_catalog.regclass, e.extcondition[k.n])"
                    " FROM pg_catalog.pg_extension e,"
                    " LATERAL pg_catalog.unnest(e.extconfig) WITH ORDINALITY k(oid, n)"
                    " JOIN pg_catalog.pg_class c ON c.oid = k.oid WHERE c.relkind = 'r'"
                    " AND pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1",
                    &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        AUTO(rows_free) struct rows *has = NULL;
        if (!conn_query(check->source, rows_text(rows, i, 1), &has, err))
            return false;
        if (rows_bool(has, 0, 0))
            names_add(&names, rows_text(rows, i, 0), NULL);
    }
    if (names.count)
        check_warning(check, "extension_rows",
                      str_fmt("rows of your own in tables of extensions are not copied: %s",
                              names_end(&names)),
                      str_dup("copy them by hand, once the extension is on the target"));
    return true;
}
