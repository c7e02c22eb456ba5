/* The tables that the target has already: their rows, columns, privileges, triggers, keys. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "schema/array.h"

/* Whether the tables must be there: nothing makes them. */
static bool needs_tables(const struct check *check)
{
    return check_is_fresh(check) && !check_makes_schema(check);
}

/* --- rows --- */

static bool has_rows(const struct check *check, const struct table *table, bool *ret_has_rows,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *sql = quote_sql("SELECT FROM %I.%I LIMIT 1", table->schema, table->name);
    if (!conn_query(check->target, sql, &rows, err)) {
        bool is_hidden = strcmp(err->sqlstate, "42501") == 0; /* check_privileges() tells */
        *err = is_hidden ? (struct err){0} : *err;
        return is_hidden;
    }
    *ret_has_rows = rows_count(rows) > 0;
    return true;
}

static bool has_no_rows_to_come(const struct check *check, const struct table *table)
{
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_is_schema_only(&check->selection, &names);
}

/* A snapshot that was killed was filling it; one root by the names of its partitions. */
static bool is_unfinished(const struct check *check, const struct table *table,
                          const struct table *there)
{
    for (size_t i = 0; i < check->unfinished.count; i++)
        if (check->unfinished.items[i].target_oid == there->oid)
            return true;
    return check_unfinished(check, table) != NULL;
}

bool check_target_rows(struct check *check, struct err *err)
{
    AUTO(names_release) struct names names = {0};
    if (!check_is_fresh(check) || check->settings->reset ||
        check->settings->snapshot_content == SNAPSHOT_SCHEMA)
        return true;
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        const struct table *there =
            table_list_find(&check->target_tables, table->schema, table->name);
        bool is_filled = false;
        if (check_is_routed(check, table) || !there || is_unfinished(check, table, there) ||
            has_no_rows_to_come(check, table))
            continue;
        if (!has_rows(check, table, &is_filled, err))
            return false;
        AUTO(str_free) char *label = table_label(table);
        if (is_filled)
            names_add(&names, label, NULL);
    }
    if (names.count)
        check_error(check, "target_rows",
                    str_fmt("tables of the target hold rows already: %s", names_end(&names)),
                    str_dup(check_follows(check)
                                ? "empty or drop them on the target, or name another target "
                                  "database"
                                : "empty or drop them on the target, name another target database, "
                                  "or let snapshot --reset empty them"));
    return true;
}

/* --- tables and columns --- */

static void compare_column(struct check *check, const struct table *table,
                           const struct table *there, const struct column *column)
{
    const struct column *found = table_column(there, column->name);
    if (!found && !column->is_generated)
        check_error(check, "target_column",
                    str_fmt("table %s.%s on the target lacks the column \"%s\"", table->schema,
                            table->name, column->name),
                    quote_sql("ALTER TABLE %I.%I ADD COLUMN %I %s", table->schema, table->name,
                              column->name, column->type_full));
    else if (found && check_is_wider(column, found))
        check_warning(check, "target_wider",
                      str_fmt("column \"%s\" of %s.%s is %s on the source, %s on the target: all "
                              "changes travel as text, which is slower",
                              column->name, table->schema, table->name, column->type_full,
                              found->type_full),
                      quote_sql("ALTER TABLE %I.%I ALTER COLUMN %I TYPE %s", table->schema,
                                table->name, column->name, column->type_full));
    else if (found && strcmp(found->type_full, column->type_full) != 0)
        check_error(check, "target_type",
                    str_fmt("column \"%s\" of %s.%s is %s on the source, %s on the target",
                            column->name, table->schema, table->name, column->type_full,
                            found->type_full),
                    quote_sql("ALTER TABLE %I.%I ALTER COLUMN %I TYPE %s", table->schema,
                              table->name, column->name, column->type_full));
}

bool check_target_tables(struct check *check, struct err *err UNUSED)
{
    AUTO(names_release) struct names missing = {0};
    for (size_t i = 0; check_is_fresh(check) && i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        const struct table *there =
            table_list_find(&check->target_tables, table->schema, table->name);
        if (check_is_routed(check, table))
            continue;
        AUTO(str_free) char *label = table_label(table);
        const struct keeper_table *kept = check_unfinished(check, table);
        bool will_be_remade = kept && kept->is_ours;
        if (!there || will_be_remade)
            names_add(&missing, label, NULL);
        for (size_t c = 0; there && !will_be_remade && c < table->column_count; c++)
            compare_column(check, table, there, &table->columns[c]);
    }
    if (missing.count && needs_tables(check))
        check_error(
            check, "target_table",
            str_fmt("the target lacks tables of the source: %s", names_end(&missing)),
            str_dup("create them there (trunkline snapshot --schema-only does), or copy the "
                    "rows as well with mode snapshot_and_replication, or leave them out "
                    "with --excluded-tables"));
    return true;
}

/* --- privileges --- */

/* The selected tables that exist on the target, as two arrays for unnest(). */
struct there {
    struct buf schemas;
    struct buf names;
    const char *params[2];
};

/* Without those that an unfinished snapshot has made, when they will be made again. */
static void there_init(struct there *there, const struct check *check, bool with_remade)
{
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct keeper_table *kept = check_unfinished(check, &check->tables.items[i]);
        if ((!with_remade && kept && kept->is_ours) ||
            check_is_routed(check, &check->tables.items[i]))
            continue;
        array_add(&there->schemas, check->tables.items[i].schema);
        array_add(&there->names, check->tables.items[i].name);
    }
    there->params[0] = array_end(&there->schemas);
    there->params[1] = array_end(&there->names);
}

static void there_release(struct there *there)
{
    buf_release(&there->schemas);
    buf_release(&there->names);
}

#define OURS                                                                  \
    "WITH ours AS (SELECT c.* FROM ROWS FROM (pg_catalog.unnest($1::text[])," \
    "  pg_catalog.unnest($2::text[])) AS w(schema, name)"                     \
    " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"                 \
    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name)"

static bool check_schemas(struct check *check, const struct there *there, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(
            check->target,
            "SELECT DISTINCT pg_catalog.quote_ident(n.nspname)"
            " FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]))"
            "  AS w(schema, name)"
            " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
            " LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
            " WHERE c.oid IS NULL AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')"
            " ORDER BY 1",
            2, there->params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        check_error(
            check, "target_schema_privilege",
            str_fmt("role %s may not create tables in schema %s of the target", check->target_role,
                    rows_text(rows, i, 0)),
            str_fmt("GRANT CREATE ON SCHEMA %s TO %s", rows_text(rows, i, 0), check->target_role));
    return true;
}

static bool check_privileges(struct check *check, const struct there *there, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(
            check->target,
            OURS " SELECT pg_catalog.string_agg(o.oid::pg_catalog.regclass::text, ', ' ORDER BY 1)"
                 " FROM ours o WHERE NOT (pg_catalog.has_table_privilege(o.oid, 'INSERT')"
                 "  AND pg_catalog.has_table_privilege(o.oid, 'SELECT')"
                 "  AND pg_catalog.has_table_privilege(o.oid, 'UPDATE')"
                 "  AND pg_catalog.has_table_privilege(o.oid, 'DELETE')"
                 "  AND pg_catalog.has_table_privilege(o.oid, 'TRUNCATE'))",
            2, there->params, &rows, err))
        return false;
    if (rows_text(rows, 0, 0))
        check_error(check, "target_privilege",
                    str_fmt("role %s may not write to %s on the target", check->target_role,
                            rows_text(rows, 0, 0)),
                    str_fmt("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO %s",
                            rows_text(rows, 0, 0), check->target_role));
    return true;
}

/* The copy makes the policies as well; owners are exempt, unless the source forces them too. */
static bool check_forced_policies(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *forced = NULL;
    AUTO(rows_free) struct rows *role = NULL;
    AUTO(str_free) char *oids = check_oids(check);
    const char *params[] = {oids};
    if (!check->source || !check_makes_schema(check))
        return true;
    if (!conn_query_params(check->source,
                           "SELECT pg_catalog.string_agg(oid::pg_catalog.regclass::text, ', ')"
                           " FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[])"
                           " AND relrowsecurity AND relforcerowsecurity",
                           1, params, &forced, err) ||
        !conn_query(check->target,
                    "SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles"
                    " WHERE rolname = current_user",
                    &role, err))
        return false;
    if (rows_text(forced, 0, 0) && !rows_bool(role, 0, 0))
        check_error(check, "target_row_security",
                    str_fmt("row security will stand between role %s and %s on the target: it is "
                            "forced",
                            check->target_role, rows_text(forced, 0, 0)),
                    str_fmt("ALTER ROLE %s BYPASSRLS", check->target_role));
    return true;
}

static bool check_policies(struct check *check, const struct there *there, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(check->target,
                           OURS " SELECT pg_catalog.string_agg("
                                "  o.oid::pg_catalog.regclass::text, ', ' ORDER BY 1) FROM ours o"
                                " WHERE pg_catalog.row_security_active(o.oid)",
                           2, there->params, &rows, err))
        return false;
    if (rows_text(rows, 0, 0))
        check_error(check, "target_row_security",
                    str_fmt("row security stands between role %s and %s on the target",
                            check->target_role, rows_text(rows, 0, 0)),
                    str_fmt("ALTER ROLE %s BYPASSRLS", check->target_role));
    return rows_text(rows, 0, 0) || check_forced_policies(check, err);
}

bool check_target_rights(struct check *check, struct err *err)
{
    AUTO(there_release) struct there there = {0};
    there_init(&there, check, true);
    return (!check_makes_schema(check) || !check_is_fresh(check) ||
            check_schemas(check, &there, err)) &&
           check_privileges(check, &there, err) && check_policies(check, &there, err);
}

/* --- triggers and foreign keys --- */

static bool may_switch_off(const struct check *check)
{
    struct err why = {0};
    if (conn_exec(check->target, "BEGIN; SET LOCAL session_replication_role = replica; ROLLBACK",
                  &why))
        return true;
    struct err ignored = {0};
    (void)conn_exec(check->target, "ROLLBACK", &ignored);
    return false;
}

/* 14 calls the triggers that partitions have from their parents internal. */
static bool check_user_triggers(struct check *check, const struct there *there, bool is_off,
                                int *count, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {there->params[0], there->params[1], is_off ? "{A,R}" : "{A,O}"};
    if (!conn_query_params(check->target,
                           OURS " SELECT o.oid::pg_catalog.regclass,"
                                " pg_catalog.quote_ident(t.tgname), 'trigger'"
                                " FROM ours o JOIN pg_catalog.pg_trigger t ON t.tgrelid = o.oid"
                                " WHERE (NOT t.tgisinternal OR t.tgparentid <> 0 AND NOT EXISTS"
                                "  (SELECT FROM pg_catalog.pg_constraint k"
                                "   WHERE k.oid = t.tgconstraint AND k.contype <> 't'))"
                                " AND t.tgenabled::text = ANY ($3::text[])"
                                " UNION ALL SELECT o.oid::pg_catalog.regclass,"
                                " pg_catalog.quote_ident(w.rulename), 'rule'"
                                " FROM ours o JOIN pg_catalog.pg_rewrite w ON w.ev_class = o.oid"
                                " WHERE o.relkind IN ('r', 'p')"
                                " AND w.ev_enabled::text = ANY ($3::text[]) ORDER BY 1, 2",
                           3, params, &rows, err))
        return false;
    *count += rows_count(rows);
    for (int i = 0; i < rows_count(rows); i++) {
        const char *table = rows_text(rows, i, 0);
        const char *trigger = rows_text(rows, i, 1);
        const char *kind = rows_text(rows, i, 2);
        (is_off ? check_warning : check_error)(
            check, is_off ? "always_trigger" : "target_trigger",
            str_fmt("%s %s of %s on the target %s: it acts a second time there", kind, trigger,
                    table, is_off ? "fires in the role replica too" : "is active"),
            str_fmt("ALTER TABLE %s DISABLE %s %s", table, kind[0] == 'r' ? "RULE" : "TRIGGER",
                    trigger));
    }
    return true;
}

/* A key of the pipeline's tables checks rows in the order of arrival and cascades a second time;
 * one that points to them from outside has rows that the source does not know. */
static const char keys_sql[] =
    OURS " SELECT k.conrelid::pg_catalog.regclass, pg_catalog.quote_ident(k.conname),"
         " k.confrelid::pg_catalog.regclass, k.conrelid NOT IN (SELECT oid FROM ours)"
         " FROM pg_catalog.pg_constraint k"
         " WHERE k.contype = 'f' AND k.conparentid = 0"
         " AND (k.conrelid IN (SELECT oid FROM ours) OR k.confrelid IN (SELECT oid FROM ours))"
         " AND EXISTS (SELECT FROM pg_catalog.pg_trigger t"
         "   WHERE t.tgconstraint = k.oid AND t.tgenabled IN ('O', 'A')) ORDER BY 1, 2";

static void foreign_key(struct check *check, const struct rows *rows, int row, bool is_off)
{
    const char *table = rows_text(rows, row, 0);
    const char *name = rows_text(rows, row, 1);
    const char *other = rows_text(rows, row, 2);
    char *drop =
        str_fmt("ALTER TABLE %s DROP CONSTRAINT %s; -- and add it again at the end", table, name);
    if (!rows_bool(rows, row, 3))
        check_error(check, "target_foreign_key",
                    str_fmt("foreign key %s of %s is active on the target: rows may arrive before "
                            "those they refer to, and it would cascade a second time",
                            name, table),
                    drop);
    else if (is_off)
        check_warning(
            check, "outside_foreign_key",
            str_fmt("foreign key %s of %s, a table that is not copied, points to %s on the "
                    "target: a TRUNCATE there stops the pipeline, a DELETE leaves rows "
                    "without what they refer to",
                    name, table, other),
            drop);
    else
        check_error(check, "outside_foreign_key",
                    str_fmt("foreign key %s of %s, a table that is not copied, points to %s on the "
                            "target: DELETEs and UPDATEs there fail or cascade",
                            name, table, other),
                    drop);
}

static bool check_foreign_keys(struct check *check, const struct there *there, bool is_off,
                               int *count, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(check->target, keys_sql, 2, there->params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        bool is_outside = rows_bool(rows, i, 3);
        if (is_outside ? !check_follows(check) : is_off)
            continue;
        foreign_key(check, rows, i, is_off);
        *count += 1;
    }
    return true;
}

static void lacks_replica_role(struct check *check, bool is_error)
{
    (is_error ? check_error : check_warning)(
        check, "replica_role",
        str_fmt(is_error
                    ? "role %s may not switch triggers and foreign keys off for its session on "
                      "the target; they would act a second time there"
                    : "role %s may not switch triggers and foreign keys off for its session on "
                      "the target; none is active there now, and none must be until the end",
                check->target_role),
        check->target_version >= 150000
            ? str_fmt("GRANT SET ON PARAMETER session_replication_role TO %s", check->target_role)
            : str_fmt("ALTER ROLE %s SUPERUSER; -- PostgreSQL 14 lets nobody else",
                      check->target_role));
}

bool check_triggers(struct check *check, struct err *err)
{
    AUTO(there_release) struct there there = {0};
    int active = 0;
    bool is_demanded = check->settings->disable_triggers == TRIGGERS_OFF;
    bool may_fire = check->settings->disable_triggers == TRIGGERS_FIRE;
    if (check->settings->snapshot_content == SNAPSHOT_SCHEMA || (may_fire && check_follows(check)))
        return true;
    bool is_off = !may_fire && may_switch_off(check);
    size_t first = check->findings.count;
    there_init(&there, check, false);
    if ((!may_fire && !check_user_triggers(check, &there, is_off, &active, err)) ||
        !check_foreign_keys(check, &there, is_off, &active, err))
        return false;
    if (is_off || may_fire)
        return true;
    lacks_replica_role(check, is_demanded || active > 0);
    findings_move_last(&check->findings, first); /* the cause before what follows from it */
    return true;
}
