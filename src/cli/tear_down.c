/* trunkline tear-down: removes what `run` made: slot and publication on the source, the keeper on
 * the target. Says what; idempotent. The copied tables stay. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/stop.h"
#include "cli/commands.h"
#include "conf/settings.h"
#include "keeper/keeper.h"
#include "pg/conn.h"
#include "pg/url.h"
#include "source/slot.h"

enum { FREE_WAIT_MS = 5000 };

struct names {
    char *slot;
    char *prefix;
};

static void names_release(struct names *names)
{
    str_free(&names->slot);
    str_free(&names->prefix);
}

static bool connect(const struct settings *settings, bool is_source, struct conn **ret_conn,
                    struct err *err)
{
    struct conn_options options = {
        .url = is_source ? settings->source : settings->target,
        .what = is_source ? "source" : "target",
        .application_name = "trunkline::tear-down",
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
    };
    return url_check(options.url, is_source ? "--source" : "--target", err) &&
           conn_open(&options, ret_conn, err);
}

static bool find_names(const struct settings *settings, struct conn *source, struct names *names,
                       struct err *err)
{
    AUTO(str_free) char *database = NULL;
    if (!conn_text(source, "SELECT pg_catalog.current_database()", &database, err))
        return false;
    names->slot =
        settings->slot[0] ? str_dup(settings->slot) : str_fmt("trunkline_%s_slot", database);
    names->prefix = slot_session_prefix(names->slot);
    return true;
}

static void say(const char *what, const char *name, bool is_dropped)
{
    (void)printf("%s %s: %s\n", what, name, is_dropped ? "dropped" : "was not there");
}

/* A running engine holds the lock of its pipeline on the target. */
static bool refuse_running(struct conn *target, const struct keeper_ref *ref, struct err *err)
{
    bool is_locked = false;
    if (!keeper_try_lock(target, ref, &is_locked, err))
        return false;
    if (is_locked)
        return true;
    (void)err_set(err, ERR_CONFIG, "an engine runs this pipeline");
    return err_hint(err, "stop it first");
}

static bool drop_keeper(const struct settings *settings, const struct names *names, struct err *err)
{
    AUTO(conn_free) struct conn *target = NULL;
    struct keeper_ref ref = {settings->keeper_schema, names->slot};
    bool is_dropped = false;
    if (!settings->target[0])
        return true;
    if (!connect(settings, false, &target, err) || !refuse_running(target, &ref, err) ||
        !keeper_drop(target, ref.schema, &is_dropped, err))
        return false;
    say("keeper", ref.schema, is_dropped);
    return true;
}

/* Slots of another kind or database are somebody else's. */
static bool drop_slot(struct conn *source, const struct names *names, bool has_lock,
                      struct err *err)
{
    AUTO(slot_state_release) struct slot_state state = {0};
    AUTO(str_free) char *database = NULL;
    bool is_dropped = false;
    if (!slot_look(source, names->slot, &state, err) ||
        !conn_text(source, "SELECT pg_catalog.current_database()", &database, err))
        return false;
    bool is_foreign = state.exists && (!state.database || strcmp(state.plugin, "pgoutput") != 0 ||
                                       strcmp(state.database, database) != 0);
    if (is_foreign)
        return err_set(err, ERR_CONFIG, "slot \"%s\" is not one that trunkline made", names->slot);
    /* With the target at hand we hold its lock: what uses the slot under our name is an orphan. */
    if (!slot_wait_free(source, names->slot, has_lock ? names->prefix : NULL, NULL, FREE_WAIT_MS,
                        err) ||
        !slot_drop(source, names->slot, &is_dropped, err))
        return false;
    say("slot", names->slot, is_dropped);
    return true;
}

static bool tear_down(const struct settings *settings, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(names_release) struct names names = {0};
    bool is_dropped = false;
    if (!connect(settings, true, &source, err) || !find_names(settings, source, &names, err) ||
        !drop_keeper(settings, &names, err) ||
        !drop_slot(source, &names, settings->target[0], err) ||
        !publication_drop(source, names.slot, &is_dropped, err))
        return false;
    say("publication", names.slot, is_dropped);
    return true;
}

int cmd_tear_down(const char *program, int argc, char **argv)
{
    AUTO(settings_release) struct settings settings = {.program = program};
    struct err err = {0};
    int code = 0;
    if (!command_begin(&settings, COMMAND_TEAR_DOWN, argc, argv, &code))
        return code;
    if (tear_down(&settings, &err))
        return 0;
    log_err(LOG_ERROR, &err);
    return err_exit_code(&err);
}
