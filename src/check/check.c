/* The order of the checks, and the context they share. See check.h.
 *
 * A check whose server cannot be reached is left out; the others go on, so that all findings come
 * at once. A check that fails by itself becomes a finding. */
#include "check/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "check/side.h"
#include "pg/lsn.h"
#include "pg/url.h"
#include "schema/array.h"
#include "source/spill.h"

enum { NAMES_SHOWN = 10 };

enum need {
    SOURCE = 1 << 0,   /* a connection to it */
    TARGET = 1 << 1,   /* a connection to it */
    TABLES = 1 << 2,   /* the selected tables */
    FOLLOWS = 1 << 3,  /* changes are followed */
    COPIES = 1 << 4,   /* rows are copied */
    THERE = 1 << 5,    /* the tables of the target */
    CREATION = 1 << 6, /* something has still to be created: the copy is not complete */
};

void check_error(struct check *check, const char *code, char *take_text, char *take_hint)
{
    findings_add(&check->findings, FINDING_ERROR, code, take_text, take_hint);
}

void check_warning(struct check *check, const char *code, char *take_text, char *take_hint)
{
    findings_add(&check->findings, FINDING_WARNING, code, take_text, take_hint);
}

/* --- names --- */

void names_add(struct names *names, const char *name, const char *sql)
{
    if (names->count++ < NAMES_SHOWN)
        buf_fmt(&names->text, "%s%s", names->count > 1 ? ", " : "", name);
    if (sql)
        buf_fmt(&names->sql, "%s%s", names->sql.len ? "; " : "", sql);
}

const char *names_end(struct names *names)
{
    if (names->count > NAMES_SHOWN)
        buf_fmt(&names->text, " and %zu more", names->count - NAMES_SHOWN);
    return buf_text(&names->text);
}

void names_release(struct names *names)
{
    buf_release(&names->text);
    buf_release(&names->sql);
}

/* --- what the run will do --- */

bool check_follows(const struct check *check)
{
    return check->settings->mode != MODE_SNAPSHOT;
}

bool check_copies(const struct check *check)
{
    return check->settings->mode != MODE_REPLICATION;
}

bool check_publishes(const struct check *check)
{
    return check_follows(check) && !check->settings->publication_name[0];
}

bool check_makes_schema(const struct check *check)
{
    return check_copies(check) && check->settings->snapshot_content != SNAPSHOT_DATA;
}

bool check_is_fresh(const struct check *check)
{
    return !check_follows(check) || !check->is_known || check->pipeline.phase < KEEPER_TABLES;
}

bool check_is_routed(const struct check *check, const struct table *table)
{
    return check->settings->publish_via_root && table->is_partition;
}

const struct keeper_table *check_unfinished(const struct check *check, const struct table *table)
{
    for (size_t i = 0; i < check->unfinished.count; i++)
        if (strcmp(check->unfinished.items[i].schema, table->schema) == 0 &&
            strcmp(check->unfinished.items[i].name, table->name) == 0)
            return &check->unfinished.items[i];
    return NULL;
}

char *check_oids(const struct check *check)
{
    struct buf oids = BUF_INIT;
    for (size_t i = 0; i < check->tables.count; i++)
        array_add_oid(&oids, check->tables.items[i].oid);
    (void)array_end(&oids);
    return buf_take(&oids);
}

/* --- the context --- */

static bool open_side(struct check *check, bool is_source, struct conn **ret_conn, struct err *err)
{
    const struct settings *settings = check->settings;
    AUTO(str_free)
    char *prefix = settings->slot[0] ? slot_session_prefix(settings->slot) : str_dup("trunkline::");
    AUTO(str_free) char *name = str_fmt("%scheck", prefix);
    struct side side = {.is_source = is_source,
                        .is_raw = !is_source && check->is_raw,
                        .application_name = name,
                        .stop = check->stop};
    return side_open(settings, &side, ret_conn, err);
}

static bool open_source(struct check *check, struct err *err)
{
    if (!open_side(check, true, &check->source, err))
        return pooler_refused(check, "source", err);
    check->source_version = conn_version(check->source);
    check->is_raw = conn_is_raw(check->source);
    return conn_text(check->source, "SELECT pg_catalog.quote_ident(current_user)",
                     &check->source_role, err) &&
           conn_text(check->source, "SELECT pg_catalog.current_database()", &check->database, err);
}

static bool open_target(struct check *check, struct err *err)
{
    if (!open_side(check, false, &check->target, err))
        return pooler_refused(check, "target", err);
    check->target_version = conn_version(check->target);
    return conn_text(check->target, "SELECT pg_catalog.quote_ident(current_user)",
                     &check->target_role, err);
}

static bool find_names(struct check *check, struct err *err)
{
    const struct settings *settings = check->settings;
    if (!check_follows(check)) {
        check->record_schema = keeper_snapshot_schema(settings->keeper_schema);
        check->slot = keeper_snapshot_name(settings->keeper_schema);
        check->ref = (struct keeper_ref){check->record_schema, check->slot};
        check->name_prefix = slot_session_prefix(check->slot);
        return true;
    }
    check->ref.schema = settings->keeper_schema;
    if (!settings->slot[0] && !check->database)
        return true;
    if (!slot_name(settings->slot, settings->program, check->database, &check->slot, err))
        return false;
    check->ref.slot = check->slot;
    check->publication =
        str_dup(settings->publication_name[0] ? settings->publication_name : check->slot);
    check->name_prefix = slot_session_prefix(check->slot);
    return true;
}

static bool is_selected(const struct table *table, void *arg)
{
    struct check *check = arg;
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_covers(&check->selection, &names);
}

/* The target works on its answer meanwhile. */
static bool read_tables(struct check *check, struct err *err)
{
    struct err unused = {0};
    check->is_target_asked = check->target && catalog_ask(check->target, check->ref.schema,
                                                          &check->target_question, &unused);
    if (!catalog_tables(check->source, check->ref.schema, &check->tables, err))
        return false;
    table_list_filter(&check->tables, is_selected, check);
    check->has_tables = true;
    return true;
}

static bool read_target_tables(struct check *check, struct err *err)
{
    check->has_target_tables =
        check->is_target_asked
            ? catalog_answer(&check->target_question, &check->target_tables, err) ||
                  err_wrap(err, "could not read the catalog")
            : catalog_tables(check->target, check->ref.schema, &check->target_tables, err);
    return check->has_target_tables;
}

static bool check_tools(struct check *check, struct err *err)
{
    return !check_makes_schema(check) ||
           schema_tools_find(check->settings->pg_bindir, check->source_version,
                             check->target_version, &check->tools, err);
}

/* Where transactions in progress are set aside: the stream begins long after the copy. */
static bool check_spill_dir(struct check *check, struct err *err)
{
    AUTO(spill_store_free) struct spill_store *store = NULL;
    struct spill_options options = {.dir = check->settings->spill_dir};
    return !check->settings->streaming || spill_store_open(&options, &store, err);
}

/* --- all of it --- */

struct step {
    const char *code; /* of the finding that its failure is */
    check_function *run;
    unsigned needs;
};

/* The first error is what a run refuses with: causes come before what follows from them. */
static const struct step steps[] = {
    {"source_connection", open_source, 0},
    {"target_connection", open_target, 0},
    {"source_pooler", check_source_pooler, SOURCE},
    {"target_pooler", check_target_pooler, TARGET},
    {"source_server", check_source_server, SOURCE},
    {"target_server", check_target_server, TARGET},
    {"slot_name", find_names, 0},
    {"keeper", check_load_keeper, TARGET},
    {"replication_role", check_replicates, SOURCE | FOLLOWS},
    {"slot", check_slot, SOURCE | FOLLOWS},
    {"capacity", check_capacity, SOURCE | FOLLOWS},
    {"output_plugin_libraries", check_plugins, SOURCE | FOLLOWS},
    {"replication_connection", check_replication, SOURCE},
    {"same_database", check_same, SOURCE | TARGET},
    {"keeper", check_keeper, TARGET},
    {"unfinished_snapshot", check_resumable, TARGET},
    {"slot_in_use", check_slot_use, SOURCE | FOLLOWS},
    {"init", check_init, SOURCE | FOLLOWS},
    {"bound", check_bound, SOURCE | TARGET | FOLLOWS},
    {"publication", check_foreign, SOURCE | TARGET | FOLLOWS},
    {"publication_younger", check_younger, SOURCE | TARGET | FOLLOWS},
    {"source_catalog", read_tables, SOURCE},
    {"target_catalog", read_target_tables, TARGET},
    {"replica_role", check_triggers, TARGET | TABLES},
    {"tables", check_patterns, TABLES | CREATION},
    {"partition", check_partitions, TABLES},
    {"replica_identity", check_identities, TABLES | FOLLOWS},
    {"enum_hash", check_enum_hashes, SOURCE | TARGET | TABLES},
    {"root_key", check_root_keys, SOURCE | TABLES | FOLLOWS},
    {"schema_privilege", check_schema_usage, SOURCE | TABLES | COPIES | CREATION},
    {"select_privilege", check_readable, SOURCE | TABLES | COPIES | CREATION},
    {"sequence_privilege", check_sequences, SOURCE | TABLES | COPIES | CREATION},
    {"row_security", check_row_security, SOURCE | TABLES | COPIES | CREATION},
    {"owner", check_owners, SOURCE | TABLES | FOLLOWS},
    {"target_rows", check_target_rows, TARGET | TABLES | THERE | COPIES | CREATION},
    {"target_kind", check_target_kinds, TARGET | TABLES | CREATION},
    {"target_required", check_target_required, TARGET | TABLES | THERE},
    {"target_table", check_target_tables, TARGET | TABLES | THERE | CREATION},
    {"publication_name", check_own_publication, SOURCE | TABLES | FOLLOWS},
    {"source_create_privilege", check_source_create, SOURCE | FOLLOWS | CREATION},
    {"target_create_privilege", check_target_create, TARGET | CREATION},
    {"target_privilege", check_target_rights, TARGET | TABLES},
    {"pg_dump", check_tools, SOURCE | TARGET | CREATION},
    {"spill_dir", check_spill_dir, FOLLOWS},
    {"target_version", check_features, SOURCE | TARGET | TABLES | COPIES | CREATION},
    {"extension_missing", check_extensions, SOURCE | TARGET | COPIES | CREATION},
    {"collation_missing", check_collations, SOURCE | TARGET | TABLES | COPIES | CREATION},
    {"role_missing", check_roles, SOURCE | TARGET | TABLES | COPIES | CREATION},
    {"owner_privilege", check_shut_tables,
     SOURCE | TARGET | TABLES | THERE | COPIES | FOLLOWS | CREATION},
    {"tablespace_missing", check_tablespaces, SOURCE | TARGET | COPIES | CREATION},
    {"label_provider", check_labels, SOURCE | TARGET | COPIES | CREATION},
    {"database_settings", check_database_settings, SOURCE | TARGET | COPIES | CREATION},
    {"extension_rows", check_extension_rows, SOURCE | COPIES | CREATION},
    {"large_objects", check_large_objects, SOURCE | TARGET | COPIES | CREATION},
    {"other_publication", check_other_publications, SOURCE | TABLES},
    {"deferrable_key", check_keys, SOURCE | TABLES | FOLLOWS},
    {"unlogged", check_unlogged, TABLES | FOLLOWS},
    {"snapshot_fix", check_snapshot_fix, SOURCE | FOLLOWS | CREATION},
    {"encoding", check_encodings, SOURCE | TARGET | CREATION},
    {"text_column", check_types, SOURCE | TARGET | TABLES},
    {"long_transaction", check_transactions, SOURCE | FOLLOWS | CREATION},
    {"prepared_transaction", check_prepared, SOURCE | FOLLOWS | CREATION},
    {"timeout", check_source_timeouts, SOURCE},
    {"timeout", check_target_timeouts, TARGET},
};

static bool settings_can_be_meant(struct check *check, struct err *err)
{
    const struct settings *settings = check->settings;
    if (!url_check(settings->source, "--source", err) ||
        !url_check(settings->target, "--target", err) ||
        !selection_read(settings, &check->selection, err))
        return false;
    if (!settings->until[0] || strcmp(settings->until, "now") == 0 ||
        lsn_parse(settings->until, &check->until))
        return true;
    (void)err_set(err, ERR_CONFIG, "--until \"%s\" is neither now nor a WAL position",
                  settings->until);
    return err_hint(err, "write --until now, or a position such as 0/16B3748");
}

bool check_is_complete(const struct check *check)
{
    return check->is_known && check->pipeline.phase == KEEPER_FOLLOWING;
}

static bool is_due(const struct check *check, unsigned needs)
{
    return (!(needs & SOURCE) || check->source) && (!(needs & TARGET) || check->target) &&
           (!(needs & TABLES) || check->has_tables) &&
           (!(needs & THERE) || check->has_target_tables) &&
           (!(needs & FOLLOWS) || check_follows(check)) &&
           (!(needs & COPIES) || check_copies(check)) &&
           (!(needs & CREATION) || !check_is_complete(check));
}

static void drop_if_lost(struct conn **conn)
{
    if (*conn && conn_is_lost(*conn))
        conn_free(conn);
}

bool check_run(struct check *check, const struct settings *settings, const struct stop *stop,
               struct err *err)
{
    check->settings = settings;
    check->stop = stop;
    if (!settings_can_be_meant(check, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct err why = {0};
        if (!is_due(check, steps[i].needs) || steps[i].run(check, &why))
            continue;
        if (why.kind == ERR_STOP)
            return err_copy(err, &why);
        findings_add_err(&check->findings, steps[i].code, &why);
        drop_if_lost(&check->source);
        drop_if_lost(&check->target);
    }
    return true;
}

void check_release(struct check *check)
{
    conn_free(&check->source);
    conn_free(&check->target);
    findings_release(&check->findings);
    str_free(&check->database);
    str_free(&check->system_id);
    str_free(&check->slot);
    str_free(&check->publication);
    str_free(&check->name_prefix);
    schema_tools_release(&check->tools);
    slot_state_release(&check->slot_state);
    keeper_pipeline_release(&check->pipeline);
    str_free(&check->record_schema);
    keeper_tables_release(&check->unfinished);
    source_pipeline_release(&check->init);
    selection_release(&check->selection);
    table_list_release(&check->tables);
    table_list_release(&check->target_tables);
    str_free(&check->source_role);
    str_free(&check->target_role);
}
