/* What selected tables have that an older target cannot have: it would stop pg_restore half-way,
 * with a syntax error. A table that is on the target already stays as it is there. What is no
 * table's (views, functions, collations) shows when pg_restore comes to it. */
#include "base/mem.h"
#include "check/inside.h"

/* sql: the table's OID and what it is about, of tables $1. Run on servers that have it. */
struct feature {
    int since; /* major version */
    const char *what;
    const char *sql;
};

static const struct feature features[] = {
    {15, "a unique index with NULLS NOT DISTINCT",
     "SELECT indrelid, i.relname FROM pg_catalog.pg_index"
     " JOIN pg_catalog.pg_class i ON i.oid = indexrelid"
     " WHERE indnullsnotdistinct AND indrelid = ANY ($1::oid[])"},
    {15, "a foreign key that sets single columns",
     "SELECT conrelid, conname FROM pg_catalog.pg_constraint"
     " WHERE confdelsetcols IS NOT NULL AND conrelid = ANY ($1::oid[])"},
    {15, "a numeric column whose scale is negative or beyond its precision",
     "SELECT attrelid, attname FROM pg_catalog.pg_attribute"
     " WHERE atttypid = 1700 AND atttypmod >= 4 AND attnum > 0 AND NOT attisdropped"
     " AND ((((atttypmod - 4) & 2047) # 1024) - 1024)"
     "  NOT BETWEEN 0 AND (((atttypmod - 4) >> 16) & 65535) AND attrelid = ANY ($1::oid[])"},
    {17, "an access method of a partitioned table",
     "SELECT oid, relname FROM pg_catalog.pg_class"
     " WHERE relkind = 'p' AND relam <> 0 AND oid = ANY ($1::oid[])"},
    {18, "a virtual generated column",
     "SELECT attrelid, attname FROM pg_catalog.pg_attribute"
     " WHERE attgenerated = 'v' AND NOT attisdropped AND attrelid = ANY ($1::oid[])"},
    {18, "a temporal key (WITHOUT OVERLAPS, PERIOD)",
     "SELECT conrelid, conname FROM pg_catalog.pg_constraint"
     " WHERE conperiod AND conrelid = ANY ($1::oid[])"},
    {18, "a constraint that is NOT ENFORCED",
     "SELECT conrelid, conname FROM pg_catalog.pg_constraint"
     " WHERE NOT conenforced AND conrelid = ANY ($1::oid[])"},
    {18, "a NOT NULL that is NO INHERIT, not valid or has a comment",
     "SELECT conrelid, conname FROM pg_catalog.pg_constraint c"
     " WHERE contype = 'n' AND conrelid = ANY ($1::oid[])"
     " AND (connoinherit OR NOT convalidated"
     "  OR EXISTS (SELECT FROM pg_catalog.pg_description d"
     "   WHERE d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass"
     "   AND d.objoid = c.oid))"},
};

static const struct table *find_table(const struct check *check, uint32_t oid)
{
    for (size_t i = 0; i < check->tables.count; i++)
        if (check->tables.items[i].oid == oid)
            return &check->tables.items[i];
    return NULL;
}

static bool ask(struct check *check, const struct feature *feature, const char *oids,
                struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    const char *params[] = {oids};
    if (!conn_query_params(check->source, feature->sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const struct table *table = find_table(check, rows_oid(rows, i, 0));
        if (!table || table_list_find(&check->target_tables, table->schema, table->name))
            continue;
        AUTO(str_free)
        char *name = str_fmt("%s.%s (%s)", table->schema, table->name, rows_text(rows, i, 1));
        names_add(&names, name, "");
    }
    if (names.count)
        check_error(check, "target_version",
                    str_fmt("PostgreSQL %d on the target does not have %s: %s",
                            check->target_version / 10000, feature->what, names_end(&names)),
                    str_dup("change it on the source, leave the table out (--excluded-tables), or "
                            "make the table on the target first, as it can be had there"));
    return true;
}

bool check_features(struct check *check, struct err *err)
{
    AUTO(str_free) char *oids = check_oids(check);
    if (!check_makes_schema(check))
        return true;
    for (size_t i = 0; i < COUNT_OF(features); i++)
        if (check->target_version / 10000 < features[i].since &&
            check->source_version / 10000 >= features[i].since &&
            !ask(check, &features[i], oids, err))
            return false;
    return true;
}
