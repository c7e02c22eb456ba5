/* Statistics of the copied tables. A root's ANALYZE covers its leaves; one that has a foreign table
 * beneath it would read that from its server, which may be far away or lack: then its own leaves
 * are analysed instead. Engine thread. */
#include <string.h>

#include "base/mem.h"
#include "pipeline/attempt.h"

/* Tables of the target with a foreign table beneath them. */
static const char reaching_sql[] =
    "WITH RECURSIVE up(oid) AS (SELECT i.inhparent FROM pg_catalog.pg_inherits i"
    "  JOIN pg_catalog.pg_class f ON f.oid = i.inhrelid AND f.relkind = 'f'"
    " UNION SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid)"
    " SELECT n.nspname, c.relname FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

static bool is_among(const struct rows *names, const char *schema, const char *name)
{
    for (int i = 0; i < rows_count(names); i++)
        if (strcmp(rows_text(names, i, 0), schema) == 0 &&
            strcmp(rows_text(names, i, 1), name) == 0)
            return true;
    return false;
}

bool attempt_analyze(const struct attempt *attempt, struct err *err)
{
    struct conn *target = attempt->engine->keeper;
    AUTO(rows_free) struct rows *reaching = NULL;
    if (!conn_query(target, reaching_sql, &reaching, err))
        return err_wrap(err, "could not read the catalog");
    for (size_t i = 0; i < attempt->tables.count; i++) {
        const struct table *table = &attempt->tables.items[i];
        bool is_covered =
            table->is_partition && !is_among(reaching, table->root_schema, table->root_name);
        if (!is_covered && !is_among(reaching, table->schema, table->name) &&
            !conn_execf(target, err, "ANALYZE %I.%I", table->schema, table->name))
            return false;
    }
    return true;
}
