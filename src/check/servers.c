/* The servers themselves: versions, settings, room, whether they are two. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"
#include "pg/quote.h"
#include "pg/replication.h"

enum { OLDEST_SERVER = 140000 };

static void refuse_version(struct check *check, int version)
{
    check_error(check, "server_version",
                str_fmt("a server is PostgreSQL %d; 14 is the oldest that works", version / 10000),
                str_dup("upgrade it, or use a newer target"));
}

static void refuse_wal_level(struct check *check, const char *level)
{
    check_error(check, "wal_level", str_fmt("wal_level is %s on the source, not logical", level),
                str_dup("ALTER SYSTEM SET wal_level = logical; -- then restart the source"));
}

bool check_source_server(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (check->source_version < OLDEST_SERVER)
        refuse_version(check, check->source_version);
    if (!conn_query(check->source,
                    "SELECT pg_catalog.pg_is_in_recovery(),"
                    " pg_catalog.current_setting('wal_level')",
                    &rows, err))
        return false;
    if (check_follows(check) && rows_bool(rows, 0, 0))
        check_error(check, "source_standby", str_dup("the source is a standby in recovery"),
                    str_dup("give the URL of its primary"));
    if (check_follows(check) && strcmp(rows_text(rows, 0, 1), "logical") != 0)
        refuse_wal_level(check, rows_text(rows, 0, 1));
    return true;
}

bool check_target_server(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (check->target_version < OLDEST_SERVER)
        refuse_version(check, check->target_version);
    if (!conn_query(check->target, "SELECT pg_catalog.pg_is_in_recovery()", &rows, err))
        return false;
    if (rows_bool(rows, 0, 0))
        check_error(check, "target_standby", str_dup("the target is a standby in recovery"),
                    str_dup("give the URL of its primary"));
    return true;
}

/* One more walsender and, when ours is not there, one more slot must be free. */
bool check_capacity(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    /* pg_stat_activity hides from a plain role what others' sessions are */
                    "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_get_wal_senders()),"
                    " pg_catalog.current_setting('max_wal_senders')::int,"
                    " (SELECT pg_catalog.count(*) FROM pg_catalog.pg_get_replication_slots()),"
                    " pg_catalog.current_setting('max_replication_slots')::int",
                    &rows, err))
        return false;
    if (!check->slot_state.exists && rows_int(rows, 0, 2) >= rows_int(rows, 0, 3))
        check_error(check, "max_replication_slots",
                    str_fmt("the source has no free replication slot (%s of %s in use)",
                            rows_text(rows, 0, 2), rows_text(rows, 0, 3)),
                    str_fmt("ALTER SYSTEM SET max_replication_slots = %d; -- then restart the "
                            "source, or drop a slot that nobody needs",
                            (int)rows_int(rows, 0, 2) + 1));
    if (!check_is_streaming(check) && rows_int(rows, 0, 0) >= rows_int(rows, 0, 1))
        check_error(check, "max_wal_senders",
                    str_fmt("the source has no free WAL sender (%s of %s in use)",
                            rows_text(rows, 0, 0), rows_text(rows, 0, 1)),
                    str_fmt("ALTER SYSTEM SET max_wal_senders = %d; -- then restart the source",
                            (int)rows_int(rows, 0, 0) + 1));
    return true;
}

/* Without a replication connection the server tells a superuser or everybody, by version. */
static bool identify_by_query(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(check->source,
                    /* a promoted server's control file is behind until its next checkpoint */
                    "SELECT s.system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery()"
                    "  THEN c.timeline_id ELSE ('x' || pg_catalog.left(pg_catalog.pg_walfile_name("
                    "   pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int8 END"
                    " FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c",
                    &rows, err))
        return false;
    str_set(&check->system_id, str_dup(rows_text(rows, 0, 0)));
    check->timeline = (uint32_t)rows_int(rows, 0, 1);
    return true;
}

/* Replication connections have rules of their own in pg_hba.conf: try one, unless one is there, or
 * a run begins that only follows, and opens its own right away. */
bool check_replication(struct check *check, struct err *err)
{
    AUTO(conn_free) struct conn *conn = NULL;
    AUTO(replication_system_release) struct replication_system system = {0};
    AUTO(str_free)
    char *name = str_fmt("%scheck", check->name_prefix ? check->name_prefix : "trunkline::");
    struct conn_options options = {
        .url = check->settings->source,
        .what = "source",
        .application_name = name,
        .is_replication = true,
        .connect_timeout_ms = (int)check->settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)check->settings->tcp_user_timeout_ms,
        .stop = check->stop,
    };
    if (!check_follows(check) || check->lacks_replication || check_is_streaming(check) ||
        (check->is_run && check_is_complete(check)))
        return identify_by_query(check, err);
    if (!conn_open(&options, &conn, err) || !replication_identify(conn, &system, err))
        return err_wrap(err, "replication connection");
    str_set(&check->system_id, TAKE(system.system_id));
    check->timeline = system.timeline;
    return true;
}

bool check_same(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!check->system_id || !check->database)
        return true;
    if (!conn_query(check->target,
                    "SELECT s.system_identifier, pg_catalog.current_database()"
                    " FROM pg_catalog.pg_control_system() s",
                    &rows, err))
        return false;
    if (strcmp(rows_text(rows, 0, 0), check->system_id) == 0 &&
        strcmp(rows_text(rows, 0, 1), check->database) == 0)
        check_error(check, "same_database", str_dup("source and target are the same database"),
                    str_dup("give another database as target"));
    return true;
}

/* "Avoid race condition when building an initial decoding snapshot", released 2026-11-12. */
bool check_has_snapshot_fix(int version)
{
    static const int fixed[] = {140025, 150020, 160016, 170012, 180006};
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (version / 10000 == fixed[i] / 10000)
            return version >= fixed[i];
    return version / 10000 > 18;
}

bool check_snapshot_fix(struct check *check, struct err *err UNUSED)
{
    int version = check->source_version;
    if (check->slot_state.exists || check_has_snapshot_fix(version))
        return true;
    check_warning(check, "snapshot_fix",
                  str_fmt("PostgreSQL %d.%d on the source can export a snapshot that shows commits "
                          "before they are complete; trunkline waits for them, other programs that "
                          "make slots may not",
                          version / 10000, version % 10000),
                  str_dup("upgrade the source to a minor version of 2026-11-12 or later (14.25, "
                          "15.20, 16.16, 17.12, 18.6)"));
    return true;
}

/* Since the minor versions of August 2026 a list, which not everybody may read, says which plugins
 * may be used. */
bool check_plugins(struct check *check, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(
            check->source,
            "SELECT s.list, s.list || CASE WHEN s.list = '' THEN 'pgoutput'"
            "   ELSE ', pgoutput' END"
            " FROM (SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')"
            "  THEN pg_catalog.current_setting('output_plugin_libraries', true) END) s(list)"
            " WHERE 'pgoutput' <> ALL"
            " (pg_catalog.regexp_split_to_array(s.list, '[ \",]+'))",
            &rows, err))
        return false;
    if (rows_count(rows))
        check_error(check, "output_plugin_libraries",
                    str_fmt("output_plugin_libraries is \"%s\" on the source, without pgoutput",
                            rows_text(rows, 0, 0)),
                    str_fmt("ALTER SYSTEM SET output_plugin_libraries = %s; SELECT "
                            "pg_reload_conf()",
                            rows_text(rows, 0, 1)));
    return true;
}

/* The source's text is sent as UTF8 whatever it is stored as; the target stores it as its own. Of a
 * source without an encoding bytes are sent. */
bool check_encodings(struct check *check, struct err *err)
{
    AUTO(str_free) char *source = NULL;
    AUTO(str_free) char *target = NULL;
    static const char sql[] = "SELECT pg_catalog.pg_encoding_to_char(encoding)"
                              " FROM pg_catalog.pg_database"
                              " WHERE datname = pg_catalog.current_database()";
    if (!conn_text(check->source, sql, &source, err) ||
        !conn_text(check->target, sql, &target, err))
        return false;
    if (strcmp(source, target) == 0)
        return true;
    if (check->is_raw)
        check_warning(check, "sql_ascii",
                      str_fmt("the source database has the encoding SQL_ASCII: its bytes are taken "
                              "as %s, the target's encoding; a row that is not valid in it stops "
                              "the pipeline, which names the row",
                              target),
                      str_dup("make the target database with ENCODING 'SQL_ASCII' TEMPLATE "
                              "template0 LOCALE 'C' where rows may hold any bytes"));
    if (check->is_raw || strcmp(target, "UTF8") == 0)
        return true;
    check_warning(check, "target_encoding",
                  str_fmt("the target database has the encoding %s, the source %s: %s", target,
                          source,
                          strcmp(target, "SQL_ASCII") == 0
                              ? "clients of the target will be given UTF8 without being told"
                              : "a character that the target lacks stops the pipeline"),
                  str_dup("make the target database with ENCODING 'UTF8' TEMPLATE template0"));
    return true;
}
