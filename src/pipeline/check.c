/* Refusing what cannot work, before anything is created. Changes nothing on either server.
 * Each refusal says what to do about it; ERR_CONFIG ends with exit code 2. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "keeper/source_keeper.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "pg/replication.h"
#include "pg/url.h"
#include "pipeline/engine.h"
#include "source/slot.h"

enum { OLDEST_SERVER = 140000, NAMES_SHOWN = 10 };

struct check { /* the connections of one check */
    struct engine *engine;
    struct conn *source;
    struct conn *target;
    bool is_known; /* the keeper holds this pipeline */
    struct slot_state slot;
};

static bool refuse(struct err *err, const char *hint, const char *text)
{
    (void)err_set(err, ERR_CONFIG, "%s", text);
    return err_hint(err, "%s", hint);
}

/* --- the servers --- */

static bool check_versions(const struct check *check, struct err *err)
{
    int oldest = MIN_OF(conn_version(check->source), conn_version(check->target));
    if (oldest >= OLDEST_SERVER)
        return true;
    (void)err_set(err, ERR_CONFIG, "a server is PostgreSQL %d; 14 is the oldest that works",
                  oldest / 10000);
    return err_hint(err, "upgrade it, or use a newer target");
}

static bool check_source(const struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    "SELECT pg_catalog.pg_is_in_recovery(),"
                    " pg_catalog.current_setting('wal_level'), r.rolreplication OR r.rolsuper,"
                    " r.rolname, r.rolsuper, pg_catalog.pg_encoding_to_char(d.encoding)"
                    " FROM pg_catalog.pg_roles r, pg_catalog.pg_database d"
                    " WHERE r.rolname = current_user"
                    " AND d.datname = pg_catalog.current_database()",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 0))
        return refuse(err, "give the URL of its primary", "the source is a standby in recovery");
    if (strcmp(rows_text(rows, 0, 1), "logical") != 0) {
        (void)err_set(err, ERR_CONFIG, "wal_level is %s on the source, not logical",
                      rows_text(rows, 0, 1));
        return err_hint(err, "ALTER SYSTEM SET wal_level = logical; then restart the source");
    }
    if (!rows_bool(rows, 0, 2)) {
        AUTO(buf_release) struct buf role = BUF_INIT;
        quote_ident(&role, rows_text(rows, 0, 3));
        (void)err_set(err, ERR_CONFIG, "role %s may not replicate from the source", role.data);
        return err_hint(err, "ALTER ROLE %s REPLICATION", role.data);
    }
    if (strcmp(rows_text(rows, 0, 5), "SQL_ASCII") == 0)
        return refuse(err, "convert the database to UTF8",
                      "the source database has the encoding SQL_ASCII, whose bytes have no known "
                      "meaning");
    return true;
}

/* One more walsender and, when ours is not there, one more slot must be free. */
static bool check_capacity(const struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity"
                    "   WHERE backend_type = 'walsender'),"
                    " pg_catalog.current_setting('max_wal_senders')::int,"
                    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots),"
                    " pg_catalog.current_setting('max_replication_slots')::int",
                    &rows, err))
        return false;
    if (!check->slot.exists && rows_int(rows, 0, 2) >= rows_int(rows, 0, 3)) {
        (void)err_set(err, ERR_CONFIG, "the source has no free replication slot (%s of %s in use)",
                      rows_text(rows, 0, 2), rows_text(rows, 0, 3));
        return err_hint(err, "drop one that nobody needs, or raise max_replication_slots");
    }
    if (rows_int(rows, 0, 0) >= rows_int(rows, 0, 1)) {
        (void)err_set(err, ERR_CONFIG, "the source has no free WAL sender (%s of %s in use)",
                      rows_text(rows, 0, 0), rows_text(rows, 0, 1));
        return err_hint(err, "raise max_wal_senders on the source");
    }
    return true;
}

/* Replication connections have rules of their own in pg_hba.conf: try one. */
static bool check_replication(struct check *check, struct err *err)
{
    struct engine *engine = check->engine;
    AUTO(conn_free) struct conn *conn = NULL;
    AUTO(replication_system_release) struct replication_system system = {0};
    AUTO(str_free) char *name = engine_name(engine, "check");
    struct conn_options options = {
        .url = engine->settings->source,
        .what = "source",
        .application_name = name,
        .is_replication = true,
        .connect_timeout_ms = (int)engine->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)engine->settings->tcp_user_timeout_ms,
        .stop = engine->hard,
    };
    if (!conn_open(&options, &conn, err) || !replication_identify(conn, &system, err))
        return err_wrap(err, "replication connection");
    str_set(&engine->system_id, TAKE(system.system_id));
    engine->timeline = system.timeline;
    return true;
}

static bool check_same(const struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->target,
                    "SELECT s.system_identifier, pg_catalog.current_database(),"
                    " pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_control_system() s",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 2))
        return refuse(err, "give the URL of its primary", "the target is a standby in recovery");
    if (strcmp(rows_text(rows, 0, 0), check->engine->system_id) != 0 ||
        strcmp(rows_text(rows, 0, 1), check->engine->database) != 0)
        return true;
    return refuse(err, "give another database as target",
                  "source and target are the same database");
}

/* --- the keeper --- */

static bool differs(const char *what, const char *kept, const char *now, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "the target's keeper belongs to another pipeline: its %s is \"%s\", this one's "
                  "is \"%s\"",
                  what, kept, now);
    return err_hint(err, "use another target database, or remove that pipeline with tear-down");
}

static bool check_pipeline(struct check *check, struct err *err)
{
    struct engine *engine = check->engine;
    const struct keeper_pipeline *kept = &engine->pipeline;
    if (strcmp(kept->slot, engine->slot) != 0)
        return differs("slot", kept->slot, engine->slot, err);
    if (strcmp(kept->system_id, engine->system_id) != 0)
        return differs("system identifier", kept->system_id, engine->system_id, err);
    if (strcmp(kept->database, engine->database) != 0)
        return differs("database", kept->database, engine->database, err);
    if (engine->timeline < kept->timeline) {
        (void)err_set(err, ERR_CONFIG,
                      "the source is on timeline %u, the target has followed timeline %u",
                      engine->timeline, kept->timeline);
        return err_hint(err, "the source was restored from an older state: remove the pipeline "
                             "with tear-down, empty the target and copy again");
    }
    return true;
}

static bool check_keeper(struct check *check, struct err *err)
{
    int version = 0;
    if (!keeper_look(check->target, check->engine->ref.schema, &version, err))
        return false;
    if (version > KEEPER_VERSION) {
        (void)err_set(err, ERR_CONFIG,
                      "the target's keeper has version %d, this program knows %d at most", version,
                      KEEPER_VERSION);
        return err_hint(err, "use the newer trunkline that made it");
    }
    if (version < KEEPER_VERSION)
        return true;
    keeper_pipeline_release(&check->engine->pipeline);
    if (!keeper_load(check->target, check->engine->ref.schema, &check->is_known,
                     &check->engine->pipeline, err))
        return false;
    return !check->is_known || check_pipeline(check, err);
}

/* --- the slot --- */

static bool look_slot(struct check *check, struct err *err)
{
    if (!slot_look(check->source, check->engine->slot, &check->slot, err))
        return false;
    return !check->slot.exists ||
           slot_check(&check->slot, check->engine->slot, check->engine->database, err);
}

/* Publication and slot bear one name, and only pipelines make publications of that name: one that
 * this target's keeper does not know belongs to a pipeline with another target, which would lose
 * changes if we took its slot. A slot alone, made by hand, is welcome. */
static bool refuse_foreign(const struct check *check, struct err *err)
{
    const struct engine *engine = check->engine;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {engine->publication};
    if (!conn_query_params(check->source,
                           "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1", 1, params,
                           &rows, err))
        return false;
    AUTO(source_pipeline_release) struct source_pipeline init = {0};
    bool is_initialised = false;
    if (rows_count(rows) == 0 || engine->settings->publication_name[0])
        return true;
    if (!source_keeper_find(check->source, &engine->ref, &is_initialised, &init, err))
        return false;
    if (is_initialised) /* init made it; whose it is, prepare.c finds out */
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "publication \"%s\" exists on the source, but this target's keeper does not "
                  "know it: it may belong to a pipeline with another target",
                  engine->publication);
    return err_hint(err, "name another slot with --slot; or remove that pipeline with tear-down "
                         "if nobody needs it");
}

static bool check_slot(const struct check *check, struct err *err)
{
    const struct engine *engine = check->engine;
    const struct slot_state *state = &check->slot;
    bool is_ours =
        check->is_known && state->active_name &&
        strncmp(state->active_name, engine->name_prefix, strlen(engine->name_prefix)) == 0;
    if (state->is_active && !is_ours) {
        (void)err_set(err, ERR_CONFIG, "slot \"%s\" is in use by pid %d (%s)", engine->slot,
                      state->active_pid, state->active_name ? state->active_name : "unknown");
        return err_hint(err, "stop that client, or name another slot with --slot");
    }
    return check->is_known || refuse_foreign(check, err);
}

/* --- the tables --- */

/* Names for an error text: the first few, and how many more. */
struct names {
    struct buf text;
    size_t count;
};

static void names_add(struct names *names, const char *schema, const char *name)
{
    if (names->count++ < NAMES_SHOWN)
        buf_fmt(&names->text, "%s%s.%s", names->count > 1 ? ", " : "", schema, name);
}

static void names_end(struct names *names)
{
    if (names->count > NAMES_SHOWN)
        buf_fmt(&names->text, " and %zu more", names->count - NAMES_SHOWN);
}

static void names_release(struct names *names)
{
    buf_release(&names->text);
}

/* A partition comes with its root and all its leaves, or not at all. */
static bool check_partitions(const struct table_list *tables, struct err *err)
{
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (!table->is_partition || !table->root_name ||
            table_list_find(tables, table->root_schema, table->root_name))
            continue;
        (void)err_set(err, ERR_CONFIG, "%s.%s is a partition of %s.%s, which is not selected",
                      table->schema, table->name, table->root_schema, table->root_name);
        return err_hint(err, "name the partitioned table: its partitions come with it");
    }
    return true;
}

bool engine_check_identity(const struct table_list *tables, struct err *err)
{
    AUTO(names_release) struct names names = {0};
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (table->kind == 'r' && table->persistence == 'p' && !table->has_identity)
            names_add(&names, table->schema, table->name);
    }
    if (!names.count)
        return true;
    names_end(&names);
    (void)err_set(err, ERR_CONFIG,
                  "tables without a usable replica identity: %.600s. Publishing them would make "
                  "their UPDATEs and DELETEs fail in your application "
                  "(tables_without_identity: error)",
                  names.text.data);
    return err_hint(err, "give them a primary key, or ALTER TABLE … REPLICA IDENTITY FULL, or "
                         "leave them out with --tables");
}

/* SELECT to copy; ownership to publish. */
static bool check_table_rights(struct check *check, const struct table_list *tables,
                               struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    buf_putc(&oids, '{');
    for (size_t i = 0; i < tables->count; i++)
        buf_fmt(&oids, "%s%u", i ? "," : "", tables->items[i].oid);
    buf_putc(&oids, '}');
    const char *params[] = {oids.data};
    if (!conn_query_params(
            check->source,
            "SELECT c.oid::pg_catalog.regclass, pg_catalog.has_table_privilege(c.oid, 'SELECT'),"
            " pg_catalog.quote_ident(current_user), pg_catalog.quote_ident("
            "   pg_catalog.pg_get_userbyid(c.relowner))"
            " FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])"
            " AND (NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')"
            "   OR NOT c.relispartition AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))"
            " ORDER BY 2, 1 LIMIT 1",
            1, params, &rows, err))
        return false;
    if (rows_count(rows) == 0)
        return true;
    const char *table = rows_text(rows, 0, 0);
    const char *role = rows_text(rows, 0, 2);
    if (!rows_bool(rows, 0, 1)) {
        (void)err_set(err, ERR_CONFIG, "role %s may not read %s on the source", role, table);
        return err_hint(err, "GRANT SELECT ON %s TO %s", table, role);
    }
    (void)err_set(err, ERR_CONFIG, "role %s may not publish %s on the source: it is not its owner",
                  role, table);
    return err_hint(err, "GRANT %s TO %s, or use the owner's role", rows_text(rows, 0, 3), role);
}

static bool check_database_rights(struct conn *conn, const char *what, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn,
                    "SELECT pg_catalog.quote_ident(pg_catalog.current_database()),"
                    " pg_catalog.quote_ident(current_user), pg_catalog.has_database_privilege("
                    "   pg_catalog.current_database(), 'CREATE')",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 2))
        return true;
    (void)err_set(err, ERR_CONFIG, "role %s may not create objects in the %s database %s",
                  rows_text(rows, 0, 1), what, rows_text(rows, 0, 0));
    return err_hint(err, "GRANT CREATE ON DATABASE %s TO %s", rows_text(rows, 0, 0),
                    rows_text(rows, 0, 1));
}

/* Whether a foreign key or a trigger of the user's is active in the database: on the source because
 * the copy will make it on the target. */
static bool has_triggers(struct conn *conn, const char *keeper, bool *ret_has, struct err *err)
{
    const char *params[] = {keeper};
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(conn,
                           "SELECT FROM pg_catalog.pg_trigger t"
                           " JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
                           " LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint"
                           " WHERE t.tgenabled <> 'D' AND c.relnamespace IS DISTINCT FROM"
                           " pg_catalog.to_regnamespace(pg_catalog.quote_ident($1))::oid"
                           " AND (NOT t.tgisinternal OR k.contype = 'f') LIMIT 1",
                           1, params, &rows, err))
        return false;
    *ret_has = rows_count(rows) > 0;
    return true;
}

/* Demanded, the replica role must be had; under auto only when something would act without it. */
static bool check_replica_role(const struct check *check, struct err *err)
{
    enum disable_triggers wish = check->engine->settings->disable_triggers;
    const char *keeper = check->engine->ref.schema;
    bool acts_here = false;
    bool acts_there = false;
    struct err why = {0};
    if (wish == TRIGGERS_FIRE)
        return true;
    if (conn_exec(check->target, "BEGIN; SET LOCAL session_replication_role = replica; ROLLBACK",
                  &why))
        return true;
    struct err ignored = {0};
    (void)conn_exec(check->target, "ROLLBACK", &ignored);
    if (!has_triggers(check->source, keeper, &acts_here, err) ||
        !has_triggers(check->target, keeper, &acts_there, err))
        return false;
    if (wish == TRIGGERS_AUTO && !acts_here && !acts_there)
        return true;
    AUTO(str_free) char *role = NULL;
    if (!conn_text(check->target, "SELECT pg_catalog.quote_ident(current_user)", &role, err))
        return false;
    (void)err_set(err, ERR_CONFIG,
                  "role %s may not switch triggers and foreign keys off for its session on the "
                  "target; they would act a second time there",
                  role);
    return err_hint(err,
                    "GRANT SET ON PARAMETER session_replication_role TO %s (PostgreSQL 14: "
                    "use a superuser)",
                    role);
}

/* --- the target's tables --- */

static bool has_rows(const struct check *check, const struct table *table, bool *ret_has_rows,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *sql = quote_sql("SELECT FROM %I.%I LIMIT 1", table->schema, table->name);
    if (!conn_query(check->target, sql, &rows, err))
        return false;
    *ret_has_rows = rows_count(rows) > 0;
    return true;
}

static bool check_target_tables(struct check *check, const struct table_list *tables,
                                struct err *err)
{
    AUTO(names_release) struct names names = {0};
    AUTO(table_list_release) struct table_list there = TABLE_LIST_INIT;
    if (!catalog_tables(check->target, check->engine->ref.schema, &there, err))
        return false;
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        bool is_filled = false;
        if (!table_list_find(&there, table->schema, table->name))
            continue;
        if (!has_rows(check, table, &is_filled, err))
            return false;
        if (is_filled)
            names_add(&names, table->schema, table->name);
    }
    if (!names.count)
        return true;
    names_end(&names);
    (void)err_set(err, ERR_CONFIG, "tables of the target hold rows already: %.600s",
                  names.text.data);
    return err_hint(err, "empty or drop them on the target, or name another target database");
}

static bool check_tables(struct check *check, struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    bool is_fresh = !check->is_known || check->engine->pipeline.phase < KEEPER_TABLES;
    if (!engine_tables(check->engine, check->source, &tables, err) ||
        !selection_check(&check->engine->selection, err) || !check_partitions(&tables, err) ||
        !engine_check_identity(&tables, err) || !check_table_rights(check, &tables, err))
        return false;
    return !is_fresh || check_target_tables(check, &tables, err);
}

/* --- all of it --- */

static bool check_until(struct engine *engine, struct err *err)
{
    const char *until = engine->settings->until;
    if (!until[0] || strcmp(until, "now") == 0)
        return true;
    if (lsn_parse(until, &engine->until))
        return true;
    (void)err_set(err, ERR_CONFIG, "--until \"%s\" is neither now nor a WAL position", until);
    return err_hint(err, "write --until now, or a position such as 0/16B3748");
}

static bool check_creation(struct check *check, struct err *err)
{
    struct engine *engine = check->engine;
    if (check->is_known && engine->pipeline.phase == KEEPER_FOLLOWING)
        return true; /* nothing is created any more */
    return check_tables(check, err) && check_database_rights(check->source, "source", err) &&
           check_database_rights(check->target, "target", err) &&
           schema_tools_find(engine->settings->pg_bindir, engine->source_version,
                             engine->target_version, &engine->tools, err);
}

static bool check_names(struct engine *engine, struct conn *source, struct err *err)
{
    str_free(&engine->database);
    if (!conn_text(source, "SELECT pg_catalog.current_database()", &engine->database, err))
        return false;
    str_free(&engine->slot);
    if (!slot_name(engine->settings->slot, engine->settings->program, engine->database,
                   &engine->slot, err))
        return false;
    engine->ref = (struct keeper_ref){engine->settings->keeper_schema, engine->slot};
    str_set(&engine->publication,
            str_dup(engine->settings->publication_name[0] ? engine->settings->publication_name
                                                          : engine->slot));
    str_set(&engine->name_prefix, slot_session_prefix(engine->slot));
    return true;
}

static bool check_all(struct check *check, struct err *err)
{
    return check_versions(check, err) && check_names(check->engine, check->source, err) &&
           check_source(check, err) && look_slot(check, err) && check_capacity(check, err) &&
           check_replication(check, err) && check_same(check, err) && check_keeper(check, err) &&
           check_slot(check, err) && check_replica_role(check, err) && check_creation(check, err);
}

bool engine_check(struct engine *engine, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(conn_free) struct conn *target = NULL;
    if (!check_until(engine, err) || !url_check(engine->settings->source, "--source", err) ||
        !url_check(engine->settings->target, "--target", err) ||
        !engine_connect(engine, true, "check", &source, err) ||
        !engine_connect(engine, false, "check", &target, err))
        return false;
    struct check check = {.engine = engine, .source = source, .target = target};
    engine->source_version = conn_version(source);
    engine->target_version = conn_version(target);
    bool is_good = check_all(&check, err);
    slot_state_release(&check.slot);
    return is_good;
}
