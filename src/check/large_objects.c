/* Large objects: whether they are copied, can be, and that nothing follows them. */
#include <inttypes.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"

/* With pg_largeobject's rights as lo_get() asks for them. */
static const char unreadable_sql[] =
    "SELECT m.oid FROM pg_catalog.pg_largeobject_metadata m"
    " WHERE NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) e"
    "  WHERE e.privilege_type = 'SELECT'"
    "  AND (e.grantee = 0 OR pg_catalog.pg_has_role(e.grantee, 'USAGE')))"
    " AND pg_catalog.current_setting('lo_compat_privileges') = 'off' ORDER BY 1";

static bool check_rights(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(buf_release) struct buf list = BUF_INIT;
    if (!conn_query(check->source, unreadable_sql, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        names_add(&names, rows_text(rows, i, 0), NULL);
        buf_fmt(&list, "%s%s", i ? ", " : "", rows_text(rows, i, 0));
    }
    if (names.count)
        check_error(
            check, "large_object_privilege",
            str_fmt("role %s may not read large objects of the source: %s", check->source_role,
                    names_end(&names)),
            str_fmt("GRANT SELECT ON LARGE OBJECT %s TO %s", buf_text(&list), check->source_role));
    return true;
}

/* Large objects are known by their OIDs alone: those of the target must be others. */
static bool check_there(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *there = NULL;
    AUTO(names_release) struct names names = {0};
    if (!conn_text(check->target,
                   "SELECT coalesce(pg_catalog.array_agg(oid), '{}')"
                   " FROM pg_catalog.pg_largeobject_metadata",
                   &there, err))
        return false;
    const char *params[] = {there};
    if (!conn_query_params(check->source,
                           "SELECT oid, pg_catalog.format('SELECT pg_catalog.lo_unlink(%s)', oid)"
                           " FROM pg_catalog.pg_largeobject_metadata"
                           " WHERE oid = ANY ($1::pg_catalog.oid[]) ORDER BY 1",
                           1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        names_add(&names, rows_text(rows, i, 0), rows_text(rows, i, 1));
    if (names.count)
        check_error(
            check, "large_object_there",
            str_fmt("the target has large objects of the same number as the source: %s",
                    names_end(&names)),
            str_fmt("%s; -- on the target, when they are of no more use", buf_text(&names.sql)));
    return true;
}

bool check_large_objects(struct check *check, struct err *err)
{
    AUTO(str_free) char *count = NULL;
    const struct settings *settings = check->settings;
    if (settings->snapshot_content == SNAPSHOT_SCHEMA)
        return true;
    if (!conn_text(check->source,
                   "SELECT nullif(pg_catalog.count(*), 0) FROM pg_catalog.pg_largeobject_metadata",
                   &count, err))
        return false;
    if (!count)
        return true;
    if (!settings->large_objects) {
        check_warning(check, "large_objects",
                      str_fmt("large objects of the source are left out: %s of them", count),
                      str_dup("say --large-objects to copy them"));
        return true;
    }
    if (check_follows(check))
        check_warning(check, "large_objects",
                      str_fmt("%s large objects are copied, changes of them are not followed: they "
                              "are not in the stream",
                              count),
                      str_dup("take a snapshot with --large-objects again when they have changed"));
    return check_rights(check, err) && (!check_is_fresh(check) || check->is_known ||
                                        check->unfinished.count || check_there(check, err));
}
