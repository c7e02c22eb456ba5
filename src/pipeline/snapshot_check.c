/* What must hold before a snapshot begins, and the question before rows go. See snapshot.h.
 * Changes nothing on either server but an older record's layout. Engine thread. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pg/url.h"
#include "pipeline/attempt.h"
#include "pipeline/snapshot.h"
#include "schema/array.h"
#include "source/slot.h"

enum { OLDEST_SERVER = 140000, NAMES_SHOWN = 10 };

struct check {
    struct snapshot *snapshot;
    struct engine *engine;
    struct conn *source;
    struct conn *target;      /* borrowed: the keeper's connection */
    struct table_list tables; /* selected, on the source */
    struct table_list there;  /* all of the target */
    bool *is_filled;          /* of those: selected, and holds rows that are not ours */
};

static void check_release(struct check *check)
{
    conn_free(&check->source);
    table_list_release(&check->tables);
    table_list_release(&check->there);
    free(check->is_filled);
}

static bool makes_schema(const struct engine *engine)
{
    return engine->settings->snapshot_content != SNAPSHOT_DATA;
}

static bool copies_rows(const struct engine *engine)
{
    return engine->settings->snapshot_content != SNAPSHOT_SCHEMA;
}

/* "a, b and 3 more"; owned by the caller. */
static char *names_of(const struct strv *names)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < names->count && i < NAMES_SHOWN; i++)
        buf_fmt(&text, "%s%s", i ? ", " : "", names->items[i]);
    if (names->count > NAMES_SHOWN)
        buf_fmt(&text, " and %zu more", names->count - NAMES_SHOWN);
    return buf_take(&text);
}

static void add_label(struct strv *names, const struct table *table)
{
    strv_take(names, table_label(table));
}

/* --- the servers --- */

static bool check_versions(struct check *check, struct err *err)
{
    struct engine *engine = check->engine;
    engine->source_version = conn_version(check->source);
    engine->target_version = conn_version(check->target);
    int oldest = MIN_OF(engine->source_version, engine->target_version);
    if (oldest >= OLDEST_SERVER)
        return true;
    (void)err_set(err, ERR_CONFIG, "a server is PostgreSQL %d; 14 is the oldest that works",
                  oldest / 10000);
    return err_hint(err, "upgrade it, or use a newer target");
}

static bool read_source(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    "SELECT pg_catalog.pg_is_in_recovery(), s.system_identifier,"
                    " pg_catalog.current_database(), pg_catalog.pg_encoding_to_char(d.encoding)"
                    " FROM pg_catalog.pg_control_system() s, pg_catalog.pg_database d"
                    " WHERE d.datname = pg_catalog.current_database()",
                    &rows, err))
        return false;
    check->snapshot->is_standby = rows_bool(rows, 0, 0);
    str_set(&check->engine->system_id, str_dup(rows_text(rows, 0, 1)));
    str_set(&check->engine->database, str_dup(rows_text(rows, 0, 2)));
    if (strcmp(rows_text(rows, 0, 3), "SQL_ASCII") != 0)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "the source database has the encoding SQL_ASCII, whose bytes have no known "
                  "meaning");
    return err_hint(err, "convert the database to UTF8");
}

static bool check_target(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->target,
                    "SELECT s.system_identifier, pg_catalog.current_database(),"
                    " pg_catalog.pg_is_in_recovery(), pg_catalog.has_database_privilege("
                    "   pg_catalog.current_database(), 'CREATE'),"
                    " pg_catalog.quote_ident(current_user),"
                    " pg_catalog.quote_ident(pg_catalog.current_database())"
                    " FROM pg_catalog.pg_control_system() s",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 2)) {
        (void)err_set(err, ERR_CONFIG, "the target is a standby in recovery");
        return err_hint(err, "give the URL of its primary");
    }
    if (strcmp(rows_text(rows, 0, 0), check->engine->system_id) == 0 &&
        strcmp(rows_text(rows, 0, 1), check->engine->database) == 0) {
        (void)err_set(err, ERR_CONFIG, "source and target are the same database");
        return err_hint(err, "give another database as target");
    }
    if (rows_bool(rows, 0, 3))
        return true;
    (void)err_set(err, ERR_CONFIG, "role %s may not create objects in the target database %s",
                  rows_text(rows, 0, 4), rows_text(rows, 0, 5));
    return err_hint(err, "GRANT CREATE ON DATABASE %s TO %s", rows_text(rows, 0, 5),
                    rows_text(rows, 0, 4));
}

/* --- the record of a snapshot that did not end --- */

static bool refuse_other_source(const struct check *check, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "the target holds an unfinished snapshot of another database (\"%s\" of system "
                  "%s)",
                  check->engine->pipeline.database, check->engine->pipeline.system_id);
    return err_hint(err, "run that snapshot again, or remove its record with tear-down and empty "
                         "its tables");
}

static bool check_record(struct check *check, struct err *err)
{
    struct snapshot *snapshot = check->snapshot;
    struct engine *engine = check->engine;
    int version = 0;
    if (!keeper_look(check->target, snapshot->schema, &version, err))
        return false;
    if (version == 0)
        return true;
    keeper_pipeline_release(&engine->pipeline);
    if (!keeper_migrate(check->target, snapshot->schema, err) ||
        !keeper_load(check->target, snapshot->schema, &snapshot->is_known, &engine->pipeline, err))
        return false;
    if (!snapshot->is_known)
        return true;
    if (strcmp(engine->pipeline.system_id, engine->system_id) != 0 ||
        strcmp(engine->pipeline.database, engine->database) != 0)
        return refuse_other_source(check, err);
    return keeper_tables(check->target, &engine->ref, &snapshot->kept, err);
}

/* What the unfinished snapshot says of the target's table; NULL: it is none of its. */
static const struct keeper_table *find_kept(const struct check *check, const struct table *there)
{
    const struct keeper_tables *kept = &check->snapshot->kept;
    for (size_t i = 0; i < kept->count; i++)
        if (kept->items[i].target_oid == there->oid)
            return &kept->items[i];
    return NULL;
}

/* --- the source's tables --- */

/* A partition comes with its root and all its leaves, or not at all. */
static bool check_partitions(const struct check *check, struct err *err)
{
    const struct table_list *tables = &check->tables;
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (!table->root_name || table_list_find(tables, table->root_schema, table->root_name))
            continue;
        (void)err_set(err, ERR_CONFIG, "%s.%s is a partition of %s.%s, which is not selected",
                      table->schema, table->name, table->root_schema, table->root_name);
        return err_hint(err, "name the partitioned table: its partitions come with it");
    }
    return true;
}

/* The selected tables, and what is read with them: their sequences, all when $2. */
static const char unreadable_sql[] =
    "SELECT c.oid::pg_catalog.regclass, pg_catalog.quote_ident(current_user),"
    " pg_catalog.quote_ident(n.nspname),"
    " pg_catalog.has_schema_privilege(n.oid, 'USAGE'), c.relkind = 'S',"
    " pg_catalog.has_table_privilege(c.oid, 'SELECT')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE (c.oid = ANY ($1::pg_catalog.oid[]) OR c.relkind = 'S' AND c.relpersistence <> 't'"
    "   AND NOT " CATALOG_IS_KEEPER(
        "n.oid") "   AND ($2 OR EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1259"
                 "     AND d.objid = c.oid AND d.refclassid = 1259 AND d.deptype IN ('a', 'i')"
                 "     AND d.refobjid = ANY ($1::pg_catalog.oid[]))))"
                 " AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                 "   OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')"
                 "   OR pg_catalog.row_security_active(c.oid))"
                 " ORDER BY c.relkind = 'S', 1 LIMIT 1";

static bool refuse_unreadable(const struct rows *rows, struct err *err)
{
    const char *name = rows_text(rows, 0, 0);
    const char *role = rows_text(rows, 0, 1);
    if (!rows_bool(rows, 0, 3)) {
        (void)err_set(err, ERR_CONFIG, "role %s may not use schema %s on the source", role,
                      rows_text(rows, 0, 2));
        return err_hint(err, "GRANT USAGE ON SCHEMA %s TO %s", rows_text(rows, 0, 2), role);
    }
    if (!rows_bool(rows, 0, 5)) {
        (void)err_set(err, ERR_CONFIG, "role %s may not read %s on the source", role, name);
        return err_hint(err, "GRANT SELECT ON %s%s TO %s", rows_bool(rows, 0, 4) ? "SEQUENCE " : "",
                        name, role);
    }
    (void)err_set(err, ERR_CONFIG, "role %s would read only some rows of %s: it has row security",
                  role, name);
    return err_hint(err, "ALTER ROLE %s BYPASSRLS", role);
}

static bool check_readable(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    for (size_t i = 0; i < check->tables.count; i++)
        array_add_oid(&oids, check->tables.items[i].oid);
    const char *params[] = {array_end(&oids),
                            selection_is_all(&check->engine->selection) ? "true" : "false"};
    if (!copies_rows(check->engine))
        return true;
    return conn_query_params(check->source, unreadable_sql, 2, params, &rows, err) &&
           (rows_count(rows) == 0 || refuse_unreadable(rows, err));
}

/* --- the target's tables --- */

static bool is_copied_row_by_row(const struct check *check, const struct table *table)
{
    return copies_rows(check->engine) &&
           attempt_copies(check->engine, check->snapshot->is_standby, table);
}

static const struct table *find_there(const struct check *check, const struct table *table)
{
    return table_list_find(&check->there, table->schema, table->name);
}

static bool check_existence(const struct check *check, struct err *err)
{
    AUTO(strv_release) struct strv missing = STRV_INIT;
    if (makes_schema(check->engine))
        return true;
    for (size_t i = 0; i < check->tables.count; i++)
        if (is_copied_row_by_row(check, &check->tables.items[i]) &&
            !find_there(check, &check->tables.items[i]))
            add_label(&missing, &check->tables.items[i]);
    if (!missing.count)
        return true;
    AUTO(str_free) char *names = names_of(&missing);
    (void)err_set(err, ERR_CONFIG, "the target lacks tables: %.600s", names);
    return err_hint(err, "make them first, with snapshot --schema-only, or copy without "
                         "--data-only");
}

static bool has_rows(const struct check *check, const struct table *there, bool *ret_has_rows,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT FROM ONLY %I.%I LIMIT 1", there->schema, there->name);
    if (there->kind == 'p') /* here one table, on the source perhaps not */
        str_set(&sql, quote_sql("SELECT FROM %I.%I LIMIT 1", there->schema, there->name));
    if (!conn_query(check->target, sql, &rows, err))
        return false;
    *ret_has_rows = rows_count(rows) > 0;
    return true;
}

static void warn_unlogged(const struct check *check)
{
    for (size_t i = 0; check->snapshot->is_standby && i < check->tables.count; i++)
        if (check->tables.items[i].persistence == 'u' && check->tables.items[i].kind == 'r')
            log_warn("the rows of %s.%s are left out: it is unlogged, and the source is a standby",
                     check->tables.items[i].schema, check->tables.items[i].name);
}

static bool find_filled(struct check *check, struct strv *filled, struct err *err)
{
    warn_unlogged(check);
    check->is_filled = mem_alloc(check->there.count * sizeof(bool) + 1);
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        const struct table *there = find_there(check, table);
        bool is_filled = false;
        if (!there || !is_copied_row_by_row(check, table) || find_kept(check, there))
            continue;
        if (!has_rows(check, there, &is_filled, err))
            return false;
        check->is_filled[there - check->there.items] = is_filled;
        if (is_filled)
            add_label(filled, there);
    }
    return true;
}

/* --- emptying --- */

static bool is_whole(const struct table_list *there, const bool *is_listed,
                     const struct table *root)
{
    bool has_some = false;
    for (size_t i = 0; i < there->count; i++) {
        const struct table *leaf = &there->items[i];
        if (leaf->kind != 'r' || !leaf->root_name || strcmp(leaf->root_name, root->name) != 0 ||
            strcmp(leaf->root_schema, root->schema) != 0)
            continue;
        if (!is_listed[i])
            return false;
        has_some = true;
    }
    return has_some;
}

/* The root under which a listed partition is emptied with all the others; NULL: it goes alone. */
static const struct table *whole_root(const struct table_list *there, const bool *is_listed,
                                      const struct table *table)
{
    const struct table *root =
        table->root_name ? table_list_find(there, table->root_schema, table->root_name) : NULL;
    return root && is_whole(there, is_listed, root) ? root : NULL;
}

void snapshot_truncate_sql(const struct table_list *there, const bool *is_listed, struct buf *sql)
{
    const char *glue = "TRUNCATE";
    for (size_t i = 0; i < there->count; i++) {
        const struct table *table = &there->items[i];
        bool is_root =
            table->kind == 'p' &&
            (is_listed[i] || (!table->is_partition && is_whole(there, is_listed, table)));
        if (!is_root && (!is_listed[i] || whole_root(there, is_listed, table)))
            continue;
        /* The server refuses to empty a partition alone when a key refers to its root. */
        quote_add(sql, "%s %s%I.%I", glue, table->kind == 'p' ? "" : "ONLY ", table->schema,
                  table->name);
        glue = ",";
    }
}

/* What TRUNCATE will empty, roots and all. */
static char *emptied_oids(const struct check *check)
{
    struct buf oids = BUF_INIT;
    for (size_t i = 0; i < check->there.count; i++) {
        const struct table *table = &check->there.items[i];
        if (check->is_filled[i] || whole_root(&check->there, check->is_filled, table) ||
            (table->kind == 'p' && is_whole(&check->there, check->is_filled, table)))
            array_add_oid(&oids, table->oid);
    }
    (void)array_end(&oids);
    return buf_take(&oids);
}

static bool is_selected(const struct check *check, const struct table *there)
{
    const struct table *table = table_list_find(&check->tables, there->schema, there->name);
    return table && is_copied_row_by_row(check, table);
}

/* Tables that refer to listed ones by a foreign key have to be in the same TRUNCATE: selected ones
 * join the list, others are in the way. */
static bool add_referring(struct check *check, bool *ret_has_added, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = emptied_oids(check);
    const char *params[] = {oids};
    if (!conn_query_params(check->target,
                           "SELECT DISTINCT c.conrelid, c.conrelid::pg_catalog.regclass,"
                           " c.confrelid::pg_catalog.regclass FROM pg_catalog.pg_constraint c"
                           " JOIN pg_catalog.pg_class r ON r.oid = c.conrelid"
                           " WHERE c.contype = 'f' AND c.confrelid = ANY ($1::pg_catalog.oid[])"
                           " AND c.conrelid <> ALL ($1::pg_catalog.oid[])"
                           " ORDER BY 2, 3",
                           1, params, &rows, err))
        return false;
    *ret_has_added = rows_count(rows) > 0;
    for (int i = 0; i < rows_count(rows); i++) {
        const struct table *there = table_list_find_oid(&check->there, rows_oid(rows, i, 0));
        bool has_added = false;
        for (size_t t = 0; there && t < check->there.count; t++) {
            const struct table *table = &check->there.items[t];
            bool is_it =
                table == there || (table->root_name && strcmp(table->root_name, there->name) == 0 &&
                                   strcmp(table->root_schema, there->schema) == 0);
            if (is_it && is_selected(check, table) && !check->is_filled[t])
                has_added = check->is_filled[t] = true;
        }
        if (has_added)
            continue;
        (void)err_set(err, ERR_CONFIG,
                      "cannot empty %s on the target: %s refers to it by a foreign key and is not "
                      "part of the snapshot",
                      rows_text(rows, i, 2), rows_text(rows, i, 1));
        return err_hint(err, "drop that key on the target, or select that table as well");
    }
    return true;
}

/* --- the question --- */

/* True: yes. Everything but "y" and "yes" is a no. */
static bool ask(struct engine *engine, bool *ret_is_yes, struct err *err)
{
    char answer[8] = "";
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = stop_fd(engine->soft), .events = POLLIN}};
    (void)fputs("Empty these tables? [y/N] ", stderr);
    while (poll(fds, COUNT_OF(fds), -1) < 0 && errno == EINTR)
        continue;
    if (stop_raised(engine->soft))
        return err_set(err, ERR_STOP, "interrupted");
    ssize_t got = read(STDIN_FILENO, answer, sizeof(answer) - 1);
    *ret_is_yes = got > 0 && (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0);
    return true;
}

static bool agree(struct check *check, struct err *err)
{
    const struct settings *settings = check->engine->settings;
    bool is_yes = settings->yes;
    (void)fputs("These tables of the target will be emptied:\n", stderr);
    for (size_t i = 0; i < check->there.count; i++)
        if (check->is_filled[i])
            (void)fprintf(stderr, "  %s.%s\n", check->there.items[i].schema,
                          check->there.items[i].name);
    (void)fflush(stderr);
    if (!is_yes && !isatty(STDIN_FILENO)) {
        (void)err_set(err, ERR_CONFIG, "--reset would empty tables of the target");
        return err_hint(err, "add --yes: there is no terminal to ask at");
    }
    if (!is_yes && !ask(check->engine, &is_yes, err))
        return false;
    if (!is_yes)
        return err_set(err, ERR_CONFIG, "the tables of the target stay as they are");
    snapshot_truncate_sql(&check->there, check->is_filled, &check->snapshot->reset_sql);
    return true;
}

static bool check_rows(struct check *check, struct err *err)
{
    AUTO(strv_release) struct strv filled = STRV_INIT;
    if (!find_filled(check, &filled, err))
        return false;
    if (!filled.count)
        return true;
    if (check->engine->settings->reset) {
        for (bool has_added = true; has_added;)
            if (!add_referring(check, &has_added, err))
                return false;
        return agree(check, err);
    }
    AUTO(str_free) char *names = names_of(&filled);
    (void)err_set(err, ERR_CONFIG, "tables of the target hold rows already: %.600s", names);
    return err_hint(err, "empty or drop them on the target, name another target database, or let "
                         "snapshot --reset empty them");
}

/* --- triggers and foreign keys --- */

static bool may_be_replica(struct conn *target)
{
    struct err ignored = {0};
    if (conn_exec(target, "BEGIN; SET LOCAL session_replication_role = replica; ROLLBACK",
                  &ignored))
        return true;
    (void)conn_exec(target, "ROLLBACK", &ignored);
    return false;
}

/* Of the tables that are there and will be filled: those with a foreign key, or a trigger. */
static bool find_active(struct check *check, struct rows **ret_rows, struct err *err)
{
    AUTO(buf_release) struct buf oids = BUF_INIT;
    for (size_t i = 0; i < check->there.count; i++) {
        const struct keeper_table *kept = find_kept(check, &check->there.items[i]);
        if (is_selected(check, &check->there.items[i]) && !(kept && kept->is_ours))
            array_add_oid(&oids, check->there.items[i].oid);
    }
    const char *params[] = {array_end(&oids)};
    return conn_query_params(
        check->target,
        "SELECT c.oid::pg_catalog.regclass, pg_catalog.bool_or(t.tgisinternal) AS is_key,"
        " pg_catalog.quote_ident(current_user)"
        " FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
        " LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint"
        " WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND t.tgenabled IN ('O', 'A')"
        /* INSERT fires it; deferrable unique keys have internal triggers as well */
        " AND t.tgtype & 4 <> 0 AND (NOT t.tgisinternal OR k.contype = 'f')"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
        1, params, ret_rows, err);
}

static bool check_triggers(struct check *check, struct err *err)
{
    enum disable_triggers wish = check->engine->settings->disable_triggers;
    AUTO(rows_free) struct rows *rows = NULL;
    bool is_off = wish != TRIGGERS_FIRE && may_be_replica(check->target);
    if (is_off || !copies_rows(check->engine))
        return true;
    if (!find_active(check, &rows, err))
        return false;
    bool has_key = rows_count(rows) > 0 && rows_bool(rows, 0, 1);
    bool has_some = rows_count(rows) > 0 && wish != TRIGGERS_FIRE;
    if (!has_key && !has_some && wish != TRIGGERS_OFF)
        return true;
    AUTO(str_free) char *role = NULL;
    if (!conn_text(check->target, "SELECT pg_catalog.quote_ident(current_user)", &role, err))
        return false;
    if (wish == TRIGGERS_FIRE) {
        (void)err_set(err, ERR_CONFIG,
                      "%s on the target has foreign keys, and tables are filled in no order that "
                      "they would allow",
                      rows_text(rows, 0, 0));
        return err_hint(err, "let them be off meanwhile (disable_triggers auto), or drop them "
                             "until the snapshot is done");
    }
    (void)err_set(err, ERR_CONFIG,
                  "role %s may not switch triggers and foreign keys off for its session on the "
                  "target%s%s",
                  role, rows_count(rows) ? "; they would act on " : "",
                  rows_count(rows) ? rows_text(rows, 0, 0) : "");
    return err_hint(err,
                    "GRANT SET ON PARAMETER session_replication_role TO %s (PostgreSQL 14: use a "
                    "superuser)",
                    role);
}

/* --- all of it --- */

static bool check_settings(const struct settings *settings, struct err *err)
{
    if (!settings->reset || settings->snapshot_content != SNAPSHOT_SCHEMA)
        return url_check(settings->source, "--source", err) &&
               url_check(settings->target, "--target", err);
    (void)err_set(err, ERR_CONFIG, "--reset empties tables, a snapshot of the schema fills none");
    return err_hint(err, "leave one of the two out");
}

static bool check_tables(struct check *check, struct err *err)
{
    struct engine *engine = check->engine;
    return engine_tables(engine, check->source, &check->tables, err) &&
           selection_check(&engine->selection, err) && check_partitions(check, err) &&
           check_readable(check, err) &&
           catalog_tables(check->target, engine->ref.schema, &check->there, err) &&
           check_existence(check, err) && check_triggers(check, err);
}

bool snapshot_check(struct snapshot *snapshot, struct err *err)
{
    struct engine *engine = snapshot->engine;
    AUTO(check_release) struct check check = {.snapshot = snapshot, .engine = engine};
    if (!check_settings(engine->settings, err) ||
        !engine_connect(engine, true, "check", &check.source, err) || !engine_lock(engine, err))
        return false;
    check.target = engine->keeper; /* the sessions of a killed snapshot have ended */
    return check_versions(&check, err) && read_source(&check, err) && check_target(&check, err) &&
           (!makes_schema(engine) ||
            schema_tools_find(engine->settings->pg_bindir, engine->source_version,
                              engine->target_version, &engine->tools, err)) &&
           check_record(&check, err) && check_tables(&check, err) && check_rows(&check, err);
}
