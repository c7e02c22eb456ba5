/* What the pipeline publishes. Engine thread.
 *
 * Invariants: publications come before their slot; a table's rows are copied only when its changes
 * are published, and only under a snapshot taken after that (copy.c). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "keeper/source_keeper.h"
#include "pipeline/engine.h"
#include "source/publication.h"

static bool is_users_own(const struct engine *engine)
{
    return engine->settings->publication_name[0] != '\0';
}

/* One of that name that we have not made belongs to somebody else; one of ours that was altered
 * leaves changes out. */
static bool check_own(struct conn *source, const char *publication, bool is_inserts_only,
                      bool *ret_exists, struct err *err)
{
    struct publication_state state = {0};
    if (!publication_read(source, publication, is_inserts_only, &state, err))
        return false;
    *ret_exists = state.exists;
    if (!state.exists || (state.is_ours && state.is_intact))
        return true;
    if (!state.is_ours) {
        (void)err_set(err, ERR_CONFIG, "publication \"%s\" was not made by trunkline", publication);
        return err_hint(err, "use it as it is with --publication-name %s, or name another slot",
                        publication);
    }
    (void)err_set(err, ERR_CONFIG,
                  "publication \"%s\" was altered by hand: it does not publish all changes, and "
                  "those since are lost",
                  publication);
    return err_hint(err, "remove the pipeline with tear-down, empty the target and copy again");
}

/* Ours, and which of them are there. */
static bool check_both(struct engine *engine, struct conn *source, bool ret_exist[2],
                       struct err *err)
{
    AUTO(str_free) char *inserts = publication_inserts_name(engine->slot);
    return check_own(source, engine->publication, false, &ret_exist[0], err) &&
           check_own(source, inserts, true, &ret_exist[1], err);
}

bool engine_check_publications(struct engine *engine, struct conn *source, struct err *err)
{
    bool exist[2];
    return is_users_own(engine) || check_both(engine, source, exist, err);
}

bool engine_make_publications(struct engine *engine, struct conn *source, bool *ret_made,
                              struct err *err)
{
    bool is_second_made = false;
    *ret_made = false;
    str_free(&engine->inserts_publication);
    if (is_users_own(engine))
        return true;
    engine->inserts_publication = publication_inserts_name(engine->slot);
    return engine_check_publications(engine, source, err) &&
           publication_make(source, engine->publication, false, ret_made, err) &&
           publication_make(source, engine->inserts_publication, true, &is_second_made, err);
}

/* A pipeline of an older program has only one: a second one must not be younger than the slot. */
bool engine_look_publications(struct engine *engine, struct conn *source, struct err *err)
{
    bool exist[2];
    if (is_users_own(engine))
        return true;
    if (!check_both(engine, source, exist, err))
        return false;
    if (!exist[0]) {
        (void)err_set(err, ERR_CONFIG, "publication \"%s\" is gone from the source",
                      engine->publication);
        return err_hint(err, "changes are lost: remove the pipeline with tear-down, empty the "
                             "target and copy again");
    }
    if (exist[1] && !engine->inserts_publication) /* other threads read it from now on */
        engine->inserts_publication = publication_inserts_name(engine->slot);
    return true;
}

/* --- identity --- */

static bool needs_identity(const struct table *table)
{
    return table->kind == 'r' && table->persistence == 'p' && !table->has_identity;
}

/* Without init there is none yet: tear-down must find what is set back. */
static bool has_source_keeper(struct engine *engine, struct conn *source, struct err *err)
{
    if (engine->source_schema)
        return true;
    if (!source_keeper_make(source, engine->ref.schema, err) ||
        !source_keeper_add(source, &engine->ref, engine->publication, 0, false, err))
        return false;
    engine->source_schema = str_dup(engine->ref.schema);
    return true;
}

static bool give_identity(struct engine *engine, struct conn *source,
                          const struct table_list *tables, bool *ret_has_given, struct err *err)
{
    int timeout_ms = (int)engine->settings->identity_lock_timeout_ms;
    if (!has_source_keeper(engine, source,
                           err)) /* another pipeline may hand its records on to us */
        return false;
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (!needs_identity(table))
            continue;
        struct keeper_ref ref = {engine->source_schema, engine->slot};
        if (!source_keeper_identity_full(source, &ref, table->schema, table->name, timeout_ms, err))
            return false;
        log_warn("%s.%s: set REPLICA IDENTITY FULL, tear-down sets it back", table->schema,
                 table->name);
        *ret_has_given = true;
    }
    return true;
}

bool engine_identified(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                       struct err *err)
{
    bool has_given = false;
    if (engine->has_seen) {
        *ret_tables = engine->seen_tables;
        engine->seen_tables = TABLE_LIST_INIT;
    } else if (!engine_tables(engine, source, ret_tables, err)) {
        return false;
    }
    switch (engine->settings->tables_without_identity) {
    case WITHOUT_IDENTITY_ERROR:
        return engine_check_identity(ret_tables, err);
    case WITHOUT_IDENTITY_INSERT_ONLY:
        return true;
    case WITHOUT_IDENTITY_FULL:
        break;
    }
    if (!give_identity(engine, source, ret_tables, &has_given, err))
        return false;
    if (!has_given)
        return true;
    table_list_release(ret_tables);
    return engine_tables(engine, source, ret_tables, err);
}

bool engine_is_insert_only(const struct table_list *tables, const struct table *table)
{
    return table->kind == 'r' && table->persistence == 'p' && !table->has_identity;
}

/* --- publishing --- */

static void log_tables(const char *what, const struct strv *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        log_info("%s %s", labels->items[i], what);
}

static void warn_insert_only(const struct table_list *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        if (tables->items[i].kind == 'r' && engine_is_insert_only(tables, &tables->items[i]))
            log_warn("%s.%s has no replica identity: only its INSERTs and TRUNCATEs are followed",
                     tables->items[i].schema, tables->items[i].name);
}

bool engine_publish_tables(struct engine *engine, struct conn *source,
                           const struct table_list *tables, struct err *err)
{
    AUTO(strv_release) struct strv added = STRV_INIT;
    AUTO(strv_release) struct strv dropped = STRV_INIT;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    bool with_inserts = engine->settings->tables_without_identity == WITHOUT_IDENTITY_INSERT_ONLY;
    if (is_users_own(engine))
        return true;
    if (with_inserts && !engine->inserts_publication) {
        (void)err_set(err, ERR_CONFIG,
                      "this pipeline was made without a publication for tables without identity");
        return err_hint(err, "remove it with tear-down and copy again, or set "
                             "tables_without_identity to error or full");
    }
    if (!publication_step(source, names, tables, with_inserts, &added, &dropped, err))
        return false;
    log_tables("is published", &added);
    log_tables("is not published any more", &dropped);
    if (with_inserts)
        warn_insert_only(tables);
    return true;
}

bool engine_publish(struct engine *engine, struct conn *source, struct table_list *ret_tables,
                    struct err *err)
{
    return engine_identified(engine, source, ret_tables, err) &&
           engine_publish_tables(engine, source, ret_tables, err);
}

struct published {
    const struct table_list *tables;
    const bool *is_carried;
    bool lacks_some;
};

static bool is_published(const struct table *table, void *arg)
{
    struct published *published = arg;
    size_t at = (size_t)(table - published->tables->items);
    if (table->persistence == 'u' || published->is_carried[at] ||
        table->kind == 'p') /* their leaves decide */
        return true;
    log_info("%s.%s is not published yet", table->schema, table->name);
    published->lacks_some = true;
    return false;
}

static void free_flags(bool **flags)
{
    free(*flags);
}

bool engine_filter_published(struct engine *engine, struct conn *source, struct table_list *tables,
                             bool *ret_lacks_some, struct err *err)
{
    AUTO(free_flags) bool *is_carried = NULL;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    if (engine->settings->mode == MODE_SNAPSHOT)
        return true;
    if (!publication_carries(source, names, tables, &is_carried, err))
        return false;
    struct published published = {.is_carried = is_carried, .tables = tables};
    table_list_filter(tables, is_published, &published);
    *ret_lacks_some = published.lacks_some;
    return true;
}
