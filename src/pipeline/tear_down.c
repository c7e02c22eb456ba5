/* tear-down: removes what init and run made. The copied tables stay. See init.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "keeper/source_keeper.h"
#include "pg/url.h"
#include "pipeline/init.h"
#include "source/publication.h"
#include "source/slot.h"

enum { FREE_WAIT_MS = 5000 };

struct work {
    const struct settings *settings;
    FILE *out;
    struct conn *source;
    struct conn *target; /* NULL: none was named */
    char *database;
    char *slot;
    char *inserts_publication;
    char *prefix;
    struct keeper_ref ref;
};

static void work_release(struct work *work)
{
    conn_free(&work->source);
    conn_free(&work->target);
    str_free(&work->database);
    str_free(&work->slot);
    str_free(&work->inserts_publication);
    str_free(&work->prefix);
}

static bool connect(const struct settings *settings, bool is_source, struct conn **ret_conn,
                    struct err *err)
{
    struct conn_options options = {
        .url = is_source ? settings->source : settings->target,
        .what = is_source ? "source" : "target",
        .application_name = "trunkline::tear-down",
        /* what we change must not wait for a standby that is not there */
        .extra_options = "-c synchronous_commit=local",
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)settings->tcp_user_timeout_ms,
    };
    return url_check(options.url, is_source ? "--source" : "--target", err) &&
           conn_open(&options, ret_conn, err);
}

static bool work_open(struct work *work, struct err *err)
{
    const struct settings *settings = work->settings;
    if (!connect(settings, true, &work->source, err) ||
        (settings->target[0] && !connect(settings, false, &work->target, err)) ||
        !conn_text(work->source, "SELECT pg_catalog.current_database()", &work->database, err) ||
        !slot_name(settings->slot, settings->program, work->database, &work->slot, err))
        return false;
    work->inserts_publication = publication_inserts_name(work->slot);
    work->prefix = slot_session_prefix(work->slot);
    work->ref = (struct keeper_ref){settings->keeper_schema, work->slot};
    return true;
}

static void say(const struct work *work, const char *what, const char *name, bool is_dropped)
{
    (void)fprintf(work->out, "%s %s: %s\n", what, name, is_dropped ? "dropped" : "was not there");
}

static void say_foreign(const struct work *work, const char *schema)
{
    (void)fprintf(work->out, "schema %s: left alone, it is not trunkline's\n", schema);
}

/* --- the target --- */

/* A running engine holds the lock of its pipeline on the target. */
static bool refuse_running(struct work *work, const struct keeper_ref *ref, struct err *err)
{
    AUTO(keeper_holder_release) struct keeper_holder own = {0};
    if (!keeper_try_lock(work->target, ref, &own, err))
        return false;
    if (own.pid)
        return true;
    (void)err_set(err, ERR_CONFIG, "an engine runs this pipeline");
    return err_hint(err, "stop it first");
}

/* Another pipeline's state must not go with ours. */
static bool refuse_other(struct work *work, struct err *err)
{
    AUTO(keeper_pipeline_release) struct keeper_pipeline kept = {0};
    bool is_found = false;
    int version = 0;
    if (!keeper_look(work->target, work->ref.schema, &version, err))
        return false;
    if (version == 0 || version > KEEPER_VERSION) /* a newer one: by its mark it is ours */
        return true;
    if (!keeper_load(work->target, work->ref.schema, &is_found, &kept, err))
        return false;
    if (!is_found || strcmp(kept.slot, work->slot) == 0)
        return true;
    (void)err_set(err, ERR_CONFIG, "the target's keeper belongs to the pipeline of slot \"%s\"",
                  kept.slot);
    return err_hint(err, "name that one with --slot, or leave --target out");
}

static bool drop_state(struct work *work, const char *schema, bool is_main, struct err *err)
{
    bool is_dropped = false, exists = false;
    struct err why = {0};
    if (!keeper_schema_look(work->target, schema, &exists, &why)) {
        if (why.kind != ERR_CONFIG)
            return err_copy(err, &why);
        say_foreign(work, schema);
        return true;
    }
    if ((is_main && !refuse_other(work, err)) ||
        !keeper_drop(work->target, schema, &is_dropped, err))
        return false;
    if (is_main || is_dropped)
        say(work, "keeper", schema, is_dropped);
    return true;
}

/* The pipeline's keeper, and that of a copy that was killed. */
static bool clean_target(struct work *work, struct err *err)
{
    AUTO(str_free) char *schema = keeper_snapshot_schema(work->ref.schema);
    AUTO(str_free) char *name = keeper_snapshot_name(work->ref.schema);
    struct keeper_ref snapshot = {schema, name};
    return !work->target ||
           (refuse_running(work, &work->ref, err) && refuse_running(work, &snapshot, err) &&
            drop_state(work, work->ref.schema, true, err) && drop_state(work, schema, false, err));
}

/* --- the source --- */

/* Slots of another kind or database are somebody else's. */
static bool drop_slot(struct work *work, struct err *err)
{
    AUTO(slot_state_release) struct slot_state state = {0};
    bool is_dropped = false;
    if (!slot_look(work->source, work->slot, &state, err))
        return false;
    if (state.exists && (!state.database || strcmp(state.plugin, "pgoutput") != 0 ||
                         strcmp(state.database, work->database) != 0))
        return err_set(err, ERR_CONFIG, "slot \"%s\" is not one that trunkline made", work->slot);
    /* With the target at hand we hold its lock: what uses the slot under our name is an orphan. */
    if (!slot_wait_free(work->source, work->slot, work->target ? work->prefix : NULL, NULL,
                        FREE_WAIT_MS, err) ||
        !slot_drop(work->source, work->slot, &is_dropped, err))
        return false;
    say(work, "slot", work->slot, is_dropped);
    return true;
}

static bool drop_publications(struct work *work, struct err *err)
{
    bool is_dropped = false, is_second_dropped = false;
    if (!publication_drop(work->source, work->slot, &is_dropped, err) ||
        !publication_drop(work->source, work->inserts_publication, &is_second_dropped, err))
        return false;
    say(work, "publication", work->slot, is_dropped);
    if (is_second_dropped)
        say(work, "publication", work->inserts_publication, true);
    return true;
}

static bool drop_source_keeper(struct work *work, struct err *err)
{
    AUTO(source_pipeline_release) struct source_pipeline init = {0};
    bool is_found = false, is_dropped = false, is_foreign = false;
    int count = 0;
    if (!source_keeper_find(work->source, &work->ref, &is_found, &init, err))
        return false;
    struct keeper_ref found = {is_found ? init.schema : work->ref.schema, work->slot};
    if ((is_found && !source_keeper_identities_back(work->source, &found,
                                                    (int)work->settings->identity_lock_timeout_ms,
                                                    &count, err)) ||
        !source_keeper_drop(work->source, &work->ref, &is_dropped, &is_foreign, err))
        return false;
    if (count)
        (void)fprintf(work->out, "replica identity: set back on %d tables\n", count);
    if (is_dropped)
        say(work, "schema", found.schema, true);
    if (is_foreign)
        say_foreign(work, work->ref.schema);
    return true;
}

bool pipeline_tear_down(const struct settings *settings, FILE *out, struct err *err)
{
    AUTO(work_release) struct work work = {.settings = settings, .out = out};
    return work_open(&work, err) && clean_target(&work, err) && drop_slot(&work, err) &&
           drop_publications(&work, err) && drop_source_keeper(&work, err);
}
