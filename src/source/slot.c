/* The slot. See slot.h. */
#include "source/slot.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pg/quote.h"

enum { NAME_SHOWN_MAX = 40, NAME_KEPT = 30 };

char *slot_session_prefix(const char *slot)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    if (strlen(slot) <= NAME_SHOWN_MAX)
        return str_fmt("trunkline:%s:", slot);
    for (const char *c = slot; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    return str_fmt("trunkline:%.*s~%08x:", (int)NAME_KEPT, slot, hash);
}

/* The rule of PostgreSQL's ReplicationSlotValidateName. */
bool slot_name(const char *given, const char *program, const char *database, char **ret_name,
               struct err *err)
{
    AUTO(str_free)
    char *name = given[0] ? str_dup(given) : str_fmt("%s_%s_slot", program, database);
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (!name[good] && good <= 63) {
        *ret_name = TAKE(name);
        return true;
    }
    (void)err_set(err, ERR_CONFIG, "\"%s\" cannot be the name of a slot", name);
    return err_hint(err, "give one with --slot: lower case letters, digits and underscores, 63 at "
                         "most");
}

void slot_state_release(struct slot_state *state)
{
    free(state->active_name);
    free(state->plugin);
    free(state->database);
    *state = (struct slot_state){0};
}

bool slot_look(struct conn *source, const char *slot, struct slot_state *ret_state, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {slot};
    if (!conn_query_params(
            source,
            "SELECT s.active, s.active_pid, a.application_name, s.plugin, s.database,"
            " coalesce(s.wal_status = 'lost', false), s.confirmed_flush_lsn, s.restart_lsn,"
            " s.two_phase"
            " FROM pg_catalog.pg_replication_slots s"
            " LEFT JOIN LATERAL pg_catalog.pg_stat_get_activity(s.active_pid) a"
            "   ON a.pid = s.active_pid"
            " WHERE s.slot_name = $1",
            1, params, &rows, err))
        return err_wrap(err, "could not look for the slot");
    slot_state_release(ret_state);
    if (rows_count(rows) == 0)
        return true;
    *ret_state = (struct slot_state){
        .exists = true,
        .is_active = rows_bool(rows, 0, 0),
        .active_pid = (int)rows_int(rows, 0, 1),
        .active_name = str_dup(rows_text(rows, 0, 2)),
        .plugin = str_dup(rows_text(rows, 0, 3)),
        .database = str_dup(rows_text(rows, 0, 4)),
        .is_lost = rows_bool(rows, 0, 5),
        .confirmed = rows_lsn(rows, 0, 6),
        .restart = rows_lsn(rows, 0, 7),
        .is_two_phase = rows_bool(rows, 0, 8),
    };
    return true;
}

bool slot_check(const struct slot_state *state, const char *slot, const char *database,
                struct err *err)
{
    if (!state->database) {
        (void)err_set(err, ERR_CONFIG, "slot \"%s\" is a physical slot", slot);
        return err_hint(err, "name another one with --slot");
    }
    if (strcmp(state->database, database) != 0) {
        (void)err_set(err, ERR_CONFIG, "slot \"%s\" belongs to database \"%s\", not \"%s\"", slot,
                      state->database, database);
        return err_hint(err, "name another one with --slot");
    }
    if (strcmp(state->plugin, "pgoutput") != 0) {
        (void)err_set(err, ERR_CONFIG, "slot \"%s\" uses the plugin %s, not pgoutput", slot,
                      state->plugin);
        return err_hint(err, "name another one with --slot");
    }
    if (state->is_two_phase) {
        (void)err_set(err, ERR_CONFIG, "slot \"%s\" decodes transactions when they are prepared",
                      slot);
        return err_hint(err, "name a slot made without two_phase: a PREPARE that was confirmed is "
                             "never sent again");
    }
    if (state->is_lost) {
        (void)err_set(err, ERR_CONFIG,
                      "slot \"%s\" is invalidated: the source has removed WAL that it needed, the "
                      "changes in it are lost",
                      slot);
        return err_hint(err, "remove the pipeline with tear-down, empty the target and copy "
                             "again; raise max_slot_wal_keep_size on the source");
    }
    return true;
}

static bool end_own_session(struct conn *source, const struct slot_state *state,
                            const char *own_prefix, struct err *err)
{
    if (!own_prefix || !state->active_name ||
        strncmp(state->active_name, own_prefix, strlen(own_prefix)) != 0)
        return true;
    return conn_execf(source, err, "SELECT pg_catalog.pg_terminate_backend(%d)", state->active_pid);
}

bool slot_wait_free(struct conn *source, const char *slot, const char *own_prefix,
                    const struct stop *stop, int timeout_ms, struct err *err)
{
    int64_t until = clock_ms() + timeout_ms;
    for (;;) {
        AUTO(slot_state_release) struct slot_state state = {0};
        if (!slot_look(source, slot, &state, err))
            return false;
        if (!state.is_active)
            return true;
        if (!end_own_session(source, &state, own_prefix, err))
            return false;
        if (clock_ms() >= until) {
            (void)err_set(err, ERR_CONFIG, "slot \"%s\" is in use by pid %d (%s)", slot,
                          state.active_pid, state.active_name ? state.active_name : "unknown");
            return err_hint(err, "stop that client, or name another slot with --slot");
        }
        if (stop_wait(stop, 50))
            return err_set(err, ERR_STOP, "interrupted");
    }
}

bool slot_drop(struct conn *source, const char *slot, bool *ret_dropped, struct err *err)
{
    AUTO(slot_state_release) struct slot_state state = {0};
    if (!slot_look(source, slot, &state, err))
        return false;
    *ret_dropped = state.exists;
    if (!state.exists)
        return true;
    return conn_execf(source, err, "SELECT pg_catalog.pg_drop_replication_slot(%L)", slot) ||
           err_wrap(err, "could not drop slot \"%s\"", slot);
}

bool slot_catalog(struct conn *source, char **ret_mark, struct err *err)
{
    static const char sql[] =
        "WITH class AS (SELECT oid, xmin AS changed FROM pg_catalog.pg_class"
        "   WHERE oid >= 16384 AND relkind IN ('r', 'p') AND relpersistence <> 't'),"
        " found(line) AS (SELECT ROW(1, oid, changed)::text FROM class"
        "  UNION ALL SELECT ROW(2, attrelid, attnum, a.xmin)::text FROM pg_catalog.pg_attribute a"
        "   JOIN class ON class.oid = attrelid WHERE attnum > 0"
        "  UNION ALL SELECT ROW(3, indexrelid, i.xmin)::text FROM pg_catalog.pg_index i"
        "   JOIN class ON class.oid = indrelid"
        "  UNION ALL SELECT ROW(4, t.oid, t.xmin)::text FROM pg_catalog.pg_type t"
        "   JOIN pg_catalog.pg_namespace n ON n.oid = typnamespace"
        "   WHERE t.oid >= 16384 AND nspname !~ '^pg_'"
        "  UNION ALL SELECT ROW(5, oid, xmin)::text FROM pg_catalog.pg_enum"
        "  UNION ALL SELECT ROW(6, oid, xmin)::text FROM pg_catalog.pg_publication"
        "  UNION ALL SELECT ROW(7, oid, xmin)::text FROM pg_catalog.pg_publication_rel)"
        " SELECT pg_catalog.concat_ws('/', pg_catalog.count(*),"
        "  pg_catalog.sum(pg_catalog.hashtextextended(line, 0))) FROM found";
    return conn_text(source, sql, ret_mark, err) || err_wrap(err, "could not read the catalog");
}

bool slot_advance(struct conn *source, const char *slot, uint64_t *ret_lsn, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {slot};
    if (!conn_query_params(source,
                           "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance($1,"
                           " pg_catalog.pg_current_wal_flush_lsn())",
                           1, params, &rows, err))
        return err_wrap(err, "could not advance slot \"%s\"", slot);
    *ret_lsn = rows_lsn(rows, 0, 0);
    return true;
}

bool source_end(struct conn *source, uint64_t *ret_lsn, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(source, "SELECT pg_catalog.pg_current_wal_insert_lsn()", &rows, err))
        return err_wrap(err, "could not read the source's WAL position");
    *ret_lsn = rows_lsn(rows, 0, 0);
    return conn_exec(source,
                     "BEGIN; SET LOCAL synchronous_commit = local;"
                     "SELECT pg_catalog.pg_logical_emit_message(true, 'trunkline', ''); COMMIT",
                     err) ||
           err_wrap(err, "could not write a message into the source's WAL");
}
