/* The selected tables of the source: whether they can be copied and followed as they are. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"

bool check_patterns(struct check *check, struct err *err)
{
    return selection_check(&check->selection, err);
}

/* A partition comes with its root and all its leaves, or not at all. */
bool check_partitions(struct check *check, struct err *err)
{
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        if (!table->is_partition || !table->root_name ||
            table_list_find(&check->tables, table->root_schema, table->root_name))
            continue;
        (void)err_set(err, ERR_CONFIG, "%s.%s is a partition of %s.%s, which is not selected",
                      table->schema, table->name, table->root_schema, table->root_name);
        return err_hint(err, "name the partitioned table: its partitions come with it");
    }
    return true;
}

/* Of a leaf's own key another leaf may have an equal one; in the root's table both rows would be
 * found by it. */
static const char own_keys_sql[] =
    "SELECT c.oid::pg_catalog.regclass, pg_catalog.pg_partition_root(c.oid)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid"
    "  AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary"
    "      ELSE false END"
    " LEFT JOIN pg_catalog.pg_index top"
    "  ON top.indexrelid = pg_catalog.pg_partition_root(i.indexrelid)"
    " WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND c.relispartition"
    " AND c.relpersistence = 'p'"
    " AND top.indrelid IS DISTINCT FROM pg_catalog.pg_partition_root(c.oid)::oid ORDER BY 1";

bool check_root_keys(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (!check->settings->publish_via_root)
        return true;
    if (!conn_query_params(check->source, own_keys_sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        const char *leaf = rows_text(rows, i, 0);
        AUTO(str_free) char *label = str_fmt("%s (in %s)", leaf, rows_text(rows, i, 1));
        AUTO(str_free) char *sql = str_fmt("ALTER TABLE %s REPLICA IDENTITY FULL", leaf);
        names_add(&names, label, sql);
    }
    if (names.count)
        check_error(check, "root_key",
                    str_fmt("with publish_via_root rows are told apart in their root's table, and "
                            "these partitions have a key of their own, which may be twice in it: "
                            "%s",
                            names_end(&names)),
                    str_fmt("%s; -- or give the root a primary key", buf_text(&names.sql)));
    return true;
}

/* An enum's hash is that of its label's OID, which every database has its own of: a row's leaf here
 * is not its leaf there. */
static const char enum_hashes_sql[] =
    "SELECT DISTINCT pg_catalog.pg_partition_root(c.oid) FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid AND p.partstrat = 'h'"
    " JOIN pg_catalog.pg_opclass oc ON oc.oid = ANY (p.partclass)"
    " WHERE c.oid = ANY ($1::oid[]) AND oc.opcintype = 'pg_catalog.anyenum'::pg_catalog.regtype"
    " ORDER BY 1";

bool check_enum_hashes(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(names_release) struct names names = {0};
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (check->settings->publish_via_root)
        return true;
    if (!conn_query_params(check->source, enum_hashes_sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        names_add(&names, rows_text(rows, i, 0), "");
    if (names.count)
        check_error(check, "enum_hash",
                    str_fmt("partitioned by the hash of an enum, which is another one in every "
                            "database, so that rows belong to other partitions on the target: %s",
                            names_end(&names)),
                    str_dup("set publish_via_root: the target then finds each row's partition"));
    return true;
}

/* --- replica identity --- */

static void names_add_table(struct names *names, const struct table *table)
{
    AUTO(str_free) char *label = table_label(table);
    AUTO(str_free)
    char *sql = quote_sql("ALTER TABLE %I.%I REPLICA IDENTITY %s", table->schema, table->name,
                          table->replica_identity == 'f' ? "DEFAULT" : "FULL");
    names_add(names, label, sql);
}

static void add_without_identity(const struct table_list *tables, struct names *names)
{
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (table->kind == 'r' && table->persistence == 'p' && !table->has_identity)
            names_add_table(names, table);
    }
}

static char *refusal_text(struct names *names)
{
    return str_fmt("tables without a usable replica identity: %s. Publishing them would make their "
                   "UPDATEs and DELETEs fail in your application (tables_without_identity: error)",
                   names_end(names));
}

static char *refusal_hint(const struct names *names)
{
    return str_fmt("%s; -- or give them a primary key, or leave them out with --tables, or choose "
                   "insert_only or full",
                   buf_text(&names->sql));
}

bool check_identity(const struct table_list *tables, struct err *err)
{
    AUTO(names_release) struct names names = {0};
    add_without_identity(tables, &names);
    if (!names.count)
        return true;
    AUTO(str_free) char *text = refusal_text(&names);
    AUTO(str_free) char *hint = refusal_hint(&names);
    (void)err_set(err, ERR_CONFIG, "%s", text);
    return err_hint(err, "%s", hint);
}

/* A stream without their UPDATEs cannot lead from one snapshot to the next. */
static void refuse_resumable(struct check *check, struct names *names)
{
    check_error(check, "replica_identity",
                str_fmt("tables without a usable replica identity: %s. The stream, which a copy "
                        "that goes on needs, does not carry their UPDATEs and DELETEs",
                        names_end(names)),
                str_fmt("%s; -- or give them a primary key, or leave out --resumable, or those "
                        "tables with --excluded-tables",
                        buf_text(&names->sql)));
}

bool check_identities(struct check *check, struct err *err UNUSED)
{
    AUTO(names_release) struct names names = {0};
    add_without_identity(&check->tables, &names);
    if (!names.count)
        return true;
    if (check->settings->resumable) {
        refuse_resumable(check, &names);
        return true;
    }
    switch (check->settings->tables_without_identity) {
    case WITHOUT_IDENTITY_ERROR:
        check_error(check, "replica_identity", refusal_text(&names), refusal_hint(&names));
        break;
    case WITHOUT_IDENTITY_INSERT_ONLY:
        check_warning(
            check, "insert_only",
            str_fmt("UPDATEs and DELETEs of tables without a usable replica identity will "
                    "not reach the target: %s (tables_without_identity: insert_only)",
                    names_end(&names)),
            str_fmt("%s; -- or give them a primary key", buf_text(&names.sql)));
        break;
    case WITHOUT_IDENTITY_FULL:
        check_warning(check, "identity_full",
                      str_fmt("tables without a usable replica identity are given REPLICA IDENTITY "
                              "FULL: %s (tables_without_identity: full; tear-down sets it back)",
                              names_end(&names)),
                      str_fmt("%s; -- or give them a primary key", buf_text(&names.sql)));
        break;
    }
    return true;
}

/* --- keys --- */

/* The keys that are not what they seem: deferrable constraints are not enforced on the target
 * while triggers are off, and are no identity; a generated column of a key is not in the stream. */
static const char keys_sql[] =
    "SELECT n.oid::pg_catalog.regclass, pg_catalog.quote_ident(c.conname),"
    " pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(c.oid),"
    "   ' DEFERRABLE( INITIALLY DEFERRED)?$', ''), true"
    " FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class n ON n.oid = c.conrelid"
    " WHERE c.contype IN ('p', 'u', 'x') AND c.condeferrable AND c.conparentid = 0"
    " AND n.oid = ANY ($1::oid[])"
    " UNION ALL"
    " SELECT n.oid::pg_catalog.regclass, pg_catalog.quote_ident(x.relname),"
    " pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', '), false"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class n ON n.oid = i.indrelid"
    " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = n.oid AND a.attnum = ANY "
    "(i.indkey[0:i.indnkeyatts - 1])"
    " WHERE n.oid = ANY ($1::oid[]) AND a.attgenerated <> '' AND n.relkind = 'r'"
    " AND (i.indisprimary AND n.relreplident = 'd' OR i.indisreplident AND n.relreplident = 'i')"
    " GROUP BY 1, 2 ORDER BY 1, 2";

static void deferrable_key(struct check *check, const struct rows *rows, int row)
{
    const char *table = rows_text(rows, row, 0);
    const char *name = rows_text(rows, row, 1);
    check_warning(
        check, "deferrable_key",
        str_fmt("constraint %s of %s is DEFERRABLE: it is no replica identity, and is not "
                "enforced on the target while triggers are off there",
                name, table),
        str_fmt("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s %s", table, name, name,
                rows_text(rows, row, 2)));
}

static void generated_key(struct check *check, const struct rows *rows, int row)
{
    check_warning(check, "generated_key",
                  str_fmt("key %s of %s has the generated column %s, whose value is not in the "
                          "stream: it is no replica identity",
                          rows_text(rows, row, 1), rows_text(rows, row, 0),
                          rows_text(rows, row, 2)),
                  str_fmt("ALTER TABLE %s REPLICA IDENTITY FULL", rows_text(rows, row, 0)));
}

bool check_keys(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (!conn_query_params(check->source, keys_sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        if (rows_bool(rows, i, 3))
            deferrable_key(check, rows, i);
        else
            generated_key(check, rows, i);
    }
    return true;
}

static void say_unlogged(struct check *check, const struct names *names, const char *text)
{
    if (check->settings->resumable)
        check_error(check, "unlogged",
                    str_fmt("unlogged tables: %s. Their changes are not in the WAL: between two "
                            "snapshots of a copy that goes on they would be lost",
                            text),
                    str_fmt("%s; -- or leave out --resumable, or those tables with "
                            "--excluded-tables",
                            buf_text(&names->sql)));
    else
        check_warning(
            check, "unlogged",
            str_fmt("unlogged tables: %s. Their rows are copied, their changes are not in "
                    "the WAL",
                    text),
            str_dup(buf_text(&names->sql)));
}

bool check_unlogged(struct check *check, struct err *err UNUSED)
{
    AUTO(names_release) struct names names = {0};
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        if (table->kind != 'r' || table->persistence != 'u')
            continue;
        AUTO(str_free) char *label = table_label(table);
        AUTO(str_free)
        char *sql = quote_sql("ALTER TABLE %I.%I SET LOGGED", table->schema, table->name);
        names_add(&names, label, sql);
    }
    if (names.count)
        say_unlogged(check, &names, names_end(&names));
    return true;
}
