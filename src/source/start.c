/* Starting replication safely. See start.h. */
#include "source/start.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "pg/replication.h"
#include "source/publication.h"
#include "source/slot.h"

enum { FREE_WAIT_MS = 10000, MIN_WORK_MEM_KB = 64 };

static const char again_hint[] = "the target can no longer be continued: remove the pipeline with "
                                 "tear-down, empty the target and copy again";

static bool connect(const struct stream_options *options, bool is_replication,
                    struct conn **ret_conn, struct err *err)
{
    AUTO(str_free) char *work_mem = NULL;
    if (is_replication && options->work_mem > 0)
        work_mem = str_fmt("-c logical_decoding_work_mem=%" PRId64 "kB",
                           MAX_OF(options->work_mem / 1024, MIN_WORK_MEM_KB));
    struct conn_options conn = {
        .url = options->url,
        .what = "source",
        .extra_options = work_mem,
        .application_name = options->application_name,
        .is_replication = is_replication,
        .connect_timeout_ms = options->connect_timeout_ms,
        .tcp_user_timeout_ms = options->tcp_user_timeout_ms,
        .stop = options->stop,
    };
    return conn_open(&conn, ret_conn, err);
}

/* Where the server's history left the timeline that the position belongs to; UINT64_MAX when it
 * never was on it. */
static bool switch_point(struct conn *conn, uint32_t now, uint32_t then, uint64_t *ret_lsn,
                         struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *sql = str_fmt("TIMELINE_HISTORY %u", now);
    *ret_lsn = 0;
    if (!conn_query(conn, sql, &rows, err))
        return err_wrap(err, "could not read the source's timeline history");
    AUTO(str_free) char *history = str_dup(rows_text(rows, 0, 1));
    for (char *rest = history, *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char lsn[LSN_TEXT];
        unsigned timeline = 0;
        if (sscanf(line, "%u %23s", &timeline, lsn) == 2 && timeline == then)
            (void)lsn_parse(lsn, ret_lsn);
    }
    return true;
}

/* What is copied before the stream begins counts as well: its end lies beyond the position. */
static bool check_history(const struct stream_options *options,
                          const struct source_history *history, uint64_t reached, struct err *err)
{
    char text[2][LSN_TEXT];
    if (reached <= history->left)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "the source is on timeline %u, which left timeline %u at %s; the target holds "
                  "changes up to %s that this source never had",
                  history->timeline, options->timeline, lsn_format(history->left, text[0]),
                  lsn_format(reached, text[1]));
    return err_hint(err, "%s", again_hint);
}

static bool check_system(struct conn *conn, const struct stream_options *options, uint64_t after,
                         struct source_history *ret_history, struct err *err)
{
    char text[2][LSN_TEXT];
    AUTO(replication_system_release) struct replication_system system = {0};
    if (!replication_identify(conn, &system, err))
        return false;
    if (strcmp(system.system_id, options->system_id) != 0) {
        (void)err_set(err, ERR_CONFIG,
                      "the source is another cluster (system identifier %s) than the one this "
                      "pipeline follows (%s)",
                      system.system_id, options->system_id);
        return err_hint(err, "check the source URL");
    }
    struct source_history history = {.timeline = system.timeline, .left = UINT64_MAX};
    if (history.timeline != options->timeline &&
        !switch_point(conn, history.timeline, options->timeline, &history.left, err))
        return false;
    *ret_history = history;
    if (!check_history(options, &history, after, err))
        return false;
    if (after <= system.flush_lsn)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "the source's WAL ends at %s, before the position %s that the target has "
                  "reached: the source was restored from an older backup or failed over with a "
                  "loss",
                  lsn_format(system.flush_lsn, text[0]), lsn_format(after, text[1]));
    return err_hint(err, "%s", again_hint);
}

static bool check_slot(struct conn *sql, const struct stream_options *options, uint64_t after,
                       struct err *err)
{
    char text[2][LSN_TEXT];
    AUTO(slot_state_release) struct slot_state state = {0};
    AUTO(str_free) char *database = NULL;
    if (!slot_look(sql, options->slot, &state, err) ||
        !conn_text(sql, "SELECT pg_catalog.current_database()", &database, err))
        return false;
    if (!state.exists) {
        (void)err_set(err, ERR_CONFIG,
                      "slot \"%s\" is gone from the source: changes after %s are lost",
                      options->slot, lsn_format(after, text[0]));
        return err_hint(err, "%s", again_hint);
    }
    if (!slot_check(&state, options->slot, database, err))
        return false;
    if (state.confirmed <= after)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "slot \"%s\" stands at %s, beyond the target's position %s: it was advanced, or "
                  "dropped and made again; the changes in between are lost",
                  options->slot, lsn_format(state.confirmed, text[0]), lsn_format(after, text[1]));
    return err_hint(err, "%s", again_hint);
}

static bool check_publication(struct conn *sql, const struct stream_options *options,
                              struct err *err)
{
    const char *names[] = {options->publication, options->inserts_publication};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool exists = true;
        if (names[i] && !publication_look(sql, names[i], &exists, err))
            return false;
        if (exists)
            continue;
        (void)err_set(err, ERR_CONFIG, "publication \"%s\" is gone from the source", names[i]);
        return err_hint(err, "%s", again_hint);
    }
    return true;
}

/* Binary is a matter of the whole connection: one published column whose type must travel as text
 * decides. */
static bool choose_format(struct conn *sql, const struct stream_options *options,
                          struct start_result *result, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {options->publication, options->inserts_publication};
    bool has_special = false;
    if (!conn_query_params(sql,
                           "SELECT DISTINCT a.atttypid FROM pg_catalog.pg_publication p,"
                           " LATERAL pg_catalog.pg_get_publication_tables(p.pubname) t"
                           " JOIN pg_catalog.pg_attribute a"
                           "   ON a.attrelid = t.relid AND a.attnum > 0 AND NOT a.attisdropped"
                           " WHERE p.pubname IN ($1, $2)",
                           2, params, &rows, err))
        return err_wrap(err, "could not read the published columns");
    for (int i = 0; i < rows_count(rows); i++)
        has_special = has_special || !types_is_plain(rows_oid(rows, i, 0));
    if (has_special && !types_read(sql, options->target_version, &result->types, err))
        return false;
    result->is_binary = !options->wants_text;
    for (int i = 0; i < rows_count(rows); i++)
        if (types_ask(result->types, rows_oid(rows, i, 0)) == TYPES_TEXT)
            result->is_binary = false;
    return true;
}

static bool start(const struct stream_options *options, struct conn *sql, uint64_t after,
                  struct start_result *result, struct err *err)
{
    AUTO(buf_release) struct buf plugin = BUF_INIT;
    AUTO(buf_release) struct buf names = BUF_INIT;
    struct source_history history = {0};
    int version = conn_version(sql) / 10000;
    result->protocol = version >= 16 ? 4 : version == 15 ? 3 : 2;
    quote_ident(&names, options->publication);
    if (options->inserts_publication)
        quote_add(&names, ",%I", options->inserts_publication);
    quote_add(&plugin, "proto_version '%d', publication_names %L, binary '%s'", result->protocol,
              names.data, result->is_binary ? "true" : "false");
    if (options->is_streaming) /* every server from 14 on can */
        buf_puts(&plugin, ", streaming 'on'");
    /* A walsender of ours that has not noticed its end keeps the slot: we hold the engine's lock.
     */
    if (!slot_wait_free(sql, options->slot, options->name_prefix, options->stop, FREE_WAIT_MS,
                        err) ||
        !connect(options, true, &result->conn, err) ||
        !check_system(result->conn, options, after, &history, err) ||
        !check_history(options, &history, options->copied_lsn, err))
        return false;
    result->timeline = history.timeline;
    if (replication_start(result->conn, options->slot, after, plugin.data, err))
        return true;
    if (strcmp(err->sqlstate, "55006") == 0) /* somebody was faster: it may go away */
        err->kind = ERR_RETRY;
    return false;
}

bool start_replication(const struct stream_options *options, uint64_t after,
                       struct start_result *ret_result, struct err *err)
{
    AUTO(conn_free) struct conn *sql = NULL;
    struct start_result result = {0};
    bool is_good = connect(options, false, &sql, err) && check_slot(sql, options, after, err) &&
                   check_publication(sql, options, err) &&
                   choose_format(sql, options, &result, err) &&
                   start(options, sql, after, &result, err) &&
                   /* now nobody else can move the slot: what counts is how it stood then */
                   check_slot(sql, options, after, err);
    if (!is_good) {
        conn_free(&result.conn);
        types_free(&result.types);
        return false;
    }
    *ret_result = result;
    return true;
}

bool start_types(const struct stream_options *options, struct types **ret_types, struct err *err)
{
    AUTO(conn_free) struct conn *sql = NULL;
    return connect(options, false, &sql, err) &&
           types_read(sql, options->target_version, ret_types, err);
}

bool start_look(const struct stream_options *options, uint64_t after,
                struct source_history *ret_history, struct err *err)
{
    AUTO(conn_free) struct conn *sql = NULL;
    AUTO(conn_free) struct conn *replication = NULL;
    return connect(options, false, &sql, err) && check_slot(sql, options, after, err) &&
           connect(options, true, &replication, err) &&
           check_system(replication, options, after, ret_history, err);
}
