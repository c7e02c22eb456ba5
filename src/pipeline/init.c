/* init: schema, publications, slot, in this order: a publication that is younger than its slot
 * cannot be decoded. Killed anywhere, it goes on when called again. */
#include "pipeline/init.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "keeper/source_keeper.h"
#include "pg/url.h"
#include "pipeline/engine.h"
#include "source/publication.h"
#include "source/slot.h"

static void init_release(struct engine *engine)
{
    selection_release(&engine->selection);
    free(engine->slot);
    free(engine->publication);
    free(engine->inserts_publication);
    free(engine->source_schema);
    free(engine->database);
    free(engine->name_prefix);
}

static bool note_schema(struct engine *engine, const char *schema)
{
    str_set(&engine->source_schema, str_dup(schema));
    return true;
}

static bool check_server(struct conn *source, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(source,
                    "SELECT pg_catalog.pg_is_in_recovery(),"
                    " pg_catalog.current_setting('wal_level'), r.rolreplication OR r.rolsuper,"
                    " pg_catalog.quote_ident(r.rolname), pg_catalog.has_database_privilege("
                    "   pg_catalog.current_database(), 'CREATE'),"
                    " pg_catalog.quote_ident(pg_catalog.current_database())"
                    " FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
                    &rows, err))
        return false;
    if (rows_bool(rows, 0, 0)) {
        (void)err_set(err, ERR_CONFIG, "the source is a standby in recovery");
        return err_hint(err, "give the URL of its primary");
    }
    if (strcmp(rows_text(rows, 0, 1), "logical") != 0) {
        (void)err_set(err, ERR_CONFIG, "wal_level is %s on the source, not logical",
                      rows_text(rows, 0, 1));
        return err_hint(err, "ALTER SYSTEM SET wal_level = logical; then restart the source");
    }
    if (!rows_bool(rows, 0, 2)) {
        (void)err_set(err, ERR_CONFIG, "role %s may not replicate from the source",
                      rows_text(rows, 0, 3));
        return err_hint(err, "ALTER ROLE %s REPLICATION", rows_text(rows, 0, 3));
    }
    if (rows_bool(rows, 0, 4))
        return true;
    (void)err_set(err, ERR_CONFIG, "role %s may not create objects in the source database %s",
                  rows_text(rows, 0, 3), rows_text(rows, 0, 5));
    return err_hint(err, "GRANT CREATE ON DATABASE %s TO %s", rows_text(rows, 0, 5),
                    rows_text(rows, 0, 3));
}

static bool find_names(struct engine *engine, struct conn *source, struct err *err)
{
    const struct settings *settings = engine->settings;
    if (!conn_text(source, "SELECT pg_catalog.current_database()", &engine->database, err) ||
        !slot_name(settings->slot, settings->program, engine->database, &engine->slot, err))
        return false;
    engine->publication =
        str_dup(settings->publication_name[0] ? settings->publication_name : engine->slot);
    engine->ref = (struct keeper_ref){settings->keeper_schema, engine->slot};
    engine->name_prefix = slot_session_prefix(engine->slot);
    return true;
}

/* Tables that UPDATEs would fail on once they are published stay out until `run` is told what to do
 * with them. */
static bool publish_with_identity(struct engine *engine, struct conn *source, struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    AUTO(strv_release) struct strv added = STRV_INIT;
    AUTO(strv_release) struct strv dropped = STRV_INIT;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    if (!engine_tables(engine, source, &tables, err) || !selection_check(&engine->selection, err) ||
        !publication_step(source, names, &tables, false, &added, &dropped, err))
        return false;
    for (size_t i = 0; i < tables.count; i++)
        if (tables.items[i].kind == 'r' && engine_is_insert_only(&tables, &tables.items[i]))
            log_warn("%s.%s has no replica identity and is not published: give it a primary key, "
                     "or set tables_without_identity",
                     tables.items[i].schema, tables.items[i].name);
    return true;
}

/* Once there is a slot, tables may join only where somebody looks at their rows: in `run`. */
static bool publish(struct engine *engine, struct conn *source, bool has_slot, bool *ret_made,
                    struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    bool is_ours = engine->settings->publication_name[0] == '\0';
    bool is_made = false, exists = true;
    if (!is_ours && !publication_look(source, engine->publication, &exists, err))
        return false;
    if (!exists) {
        (void)err_set(err, ERR_CONFIG, "there is no publication \"%s\" on the source",
                      engine->publication);
        return err_hint(err, "create it, or leave publication_name unset");
    }
    if (!engine_make_publications(engine, source, &is_made, err))
        return false;
    *ret_made = is_made;
    log_info("publication %s: %s", engine->publication, is_made ? "created" : "is there");
    if (!is_ours || (has_slot && !is_made))
        return true;
    return engine->settings->tables_without_identity == WITHOUT_IDENTITY_ERROR
               ? publish_with_identity(engine, source, err)
               : engine_publish(engine, source, &tables, err);
}

/* A slot that is there already may be older than the publication: what that means is for `run` to
 * say, which knows whether a copy is to come. Its words are the recorded position. */
static bool record(struct engine *engine, struct conn *source, bool is_anew, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    struct keeper_ref ref = engine->ref;
    if (engine->source_schema) /* init was called by our other name */
        ref.schema = engine->source_schema;
    return conn_query(source, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err) &&
           source_keeper_add(source, &ref, engine->publication, rows_lsn(rows, 0, 0), is_anew, err);
}

static bool make_slot(struct engine *engine, struct conn *source, struct err *err)
{
    AUTO(slot_state_release) struct slot_state state = {0};
    if (!slot_look(source, engine->slot, &state, err))
        return false;
    if (state.exists) {
        log_info("slot %s: is there", engine->slot);
        return slot_check(&state, engine->slot, engine->database, err);
    }
    log_info("creating slot %s: waits for the transactions that run now", engine->slot);
    return conn_execf(source, err,
                      "SELECT pg_catalog.pg_create_logical_replication_slot(%L, 'pgoutput')",
                      engine->slot) ||
           err_wrap(err, "could not create slot \"%s\"", engine->slot);
}

bool pipeline_init(const struct settings *settings, struct err *err)
{
    AUTO(init_release) struct engine engine = {.settings = settings};
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(source_pipeline_release) struct source_pipeline known = {0};
    AUTO(slot_state_release) struct slot_state state = {0};
    bool is_known = false, is_made = false;
    if (!url_check(settings->source, "--source", err) ||
        !selection_read(settings, &engine.selection, err) ||
        !engine_connect(&engine, true, "init", &source, err) || !check_server(source, err) ||
        !find_names(&engine, source, err) || !slot_look(source, engine.slot, &state, err) ||
        (state.exists && !slot_check(&state, engine.slot, engine.database, err)) ||
        !source_keeper_find(source, &engine.ref, &is_known, &known, err) ||
        !source_keeper_make(source, is_known ? known.schema : engine.ref.schema, err) ||
        !note_schema(&engine, is_known ? known.schema : NULL) ||
        !publish(&engine, source, state.exists, &is_made, err) ||
        !record(&engine, source, is_made, err))
        return false;
    return make_slot(&engine, source, err);
}
