/* The table of settings: what stands here once is read, checked, printed and explained. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "conf/setting.h"

#define KIB ((int64_t)1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)
#define TIB (KIB * GIB)

#define SERVERS (COMMAND_RUN | COMMAND_TEAR_DOWN | COMMAND_VERIFY | COMMAND_CONFIG)
#define ENGINE  (COMMAND_RUN | COMMAND_CONFIG)
#define ALL     (SERVERS | COMMAND_DEMO)

#define FIELD(member) offsetof(struct settings, member)

static const char *const identity_choices[] = {"error", NULL};
static const char *const slot_wal_choices[] = {"stop", "drop", NULL};
static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_choices[] = {"logfmt", "json", NULL};
static const char *const progress_choices[] = {"auto", "on", "off", NULL};

static const char *check_url(const char *text)
{
    bool is_known = strncmp(text, "postgres://", 11) == 0 ||
                    strncmp(text, "postgresql://", 13) == 0 ||
                    (strchr(text, '=') && !strstr(text, "://"));
    return is_known ? NULL : "not a connection URL; write postgres://user@host:port/database";
}

/* Names that the server takes for a replication slot. */
static const char *check_slot(const char *text)
{
    size_t len = strlen(text);
    bool is_name = len < 64 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
    return is_name ? NULL : "is not a slot name: up to 63 of a-z, 0-9 and _";
}

static const char *check_until(const char *text)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    size_t high = strspn(text, hex);
    size_t low = text[high] == '/' ? strspn(text + high + 1, hex) : 0;
    bool is_lsn = high >= 1 && high <= 8 && low >= 1 && low <= 8 && !text[high + 1 + low];
    return is_lsn || strcmp(text, "now") == 0 ? NULL
                                              : "is neither now nor an LSN such as 0/16B3748";
}

static const char *check_listen(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    bool is_port =
        digits >= 1 && digits <= 5 && !colon[1 + digits] && strtol(colon + 1, NULL, 10) <= 65535;
    return is_port ? NULL : "is not an address; write host:port, or :port for this machine only";
}

const struct setting settings_table[] = {
    {.name = "source",
     .path = "source.url",
     .type = SETTING_URL,
     .offset = FIELD(source),
     .def = "",
     .check = check_url,
     .commands = SERVERS,
     .required = COMMAND_RUN | COMMAND_TEAR_DOWN | COMMAND_VERIFY,
     .help = "database to copy from"},
    {.name = "target",
     .path = "target.url",
     .type = SETTING_URL,
     .offset = FIELD(target),
     .def = "",
     .check = check_url,
     .commands = SERVERS,
     .required = COMMAND_RUN | COMMAND_VERIFY,
     .help = "database to copy to"},
    {.name = "slot",
     .path = "source.slot",
     .type = SETTING_STRING,
     .offset = FIELD(slot),
     .def = "",
     .word = "NAME",
     .check = check_slot,
     .commands = SERVERS,
     .help = "replication slot, which also names the pipeline; made from the database's name when "
             "not set"},
    {.name = "tables",
     .path = "source.tables",
     .type = SETTING_LIST,
     .offset = FIELD(tables),
     .def = "",
     .commands = COMMAND_RUN | COMMAND_VERIFY | COMMAND_CONFIG,
     .help = "tables to copy: table, schema.table, schema.*, *.*, with commas or spaces between "
             "them; all when not set"},
    {.name = "until",
     .path = "until",
     .type = SETTING_STRING,
     .offset = FIELD(until),
     .def = "",
     .word = "now|LSN",
     .check = check_until,
     .commands = ENGINE,
     .help = "end when the target holds everything committed before this position"},

    {.name = "copiers",
     .path = "copy.copiers",
     .type = SETTING_INT,
     .offset = FIELD(copiers),
     .def = "4",
     .min = 1,
     .max = 64,
     .commands = ENGINE,
     .help = "connections that copy rows and build indexes at the same time"},
    {.name = "part_size",
     .path = "copy.part_size",
     .type = SETTING_BYTES,
     .offset = FIELD(part_size),
     .def = "128MiB",
     .min = 8 * KIB,
     .max = TIB,
     .commands = ENGINE,
     .help = "larger tables are copied in parts of this size"},
    {.name = "index_memory",
     .path = "copy.index_memory",
     .type = SETTING_BYTES,
     .offset = FIELD(index_memory),
     .def = "256MiB",
     .min = MIB,
     .max = TIB,
     .commands = ENGINE,
     .help = "maintenance_work_mem of each index build on the target"},
    {.name = "pg_bindir",
     .path = "copy.pg_bindir",
     .type = SETTING_STRING,
     .offset = FIELD(pg_bindir),
     .def = "",
     .word = "DIR",
     .commands = COMMAND_RUN | COMMAND_CONFIG | COMMAND_DEMO,
     .help = "directory of pg_dump and pg_restore; searched for when not set"},

    {.name = "tables_without_identity",
     .path = "stream.tables_without_identity",
     .type = SETTING_ENUM,
     .offset = FIELD(tables_without_identity),
     .def = "error",
     .choices = identity_choices,
     .commands = ENGINE,
     .help = "what to do with tables whose updates and deletes cannot be followed"},
    {.name = "group_max_changes",
     .path = "stream.group.max_changes",
     .type = SETTING_INT,
     .offset = FIELD(group_max_changes),
     .def = "10000",
     .min = 1,
     .max = 10000000,
     .commands = ENGINE,
     .help = "source transactions are applied together up to this many changes"},
    {.name = "group_max_bytes",
     .path = "stream.group.max_bytes",
     .type = SETTING_BYTES,
     .offset = FIELD(group_max_bytes),
     .def = "8MiB",
     .min = KIB,
     .max = 16 * GIB,
     .commands = ENGINE,
     .help = "the same, up to this size"},
    {.name = "group_max_time",
     .path = "stream.group.max_time",
     .type = SETTING_DURATION,
     .offset = FIELD(group_max_time_ms),
     .def = "500ms",
     .min = 1,
     .max = 3600000,
     .commands = ENGINE,
     .help = "the same, for this long"},
    {.name = "queue_bytes",
     .path = "stream.queue_bytes",
     .type = SETTING_BYTES,
     .offset = FIELD(queue_bytes),
     .def = "4MiB",
     .min = 64 * KIB,
     .max = 16 * GIB,
     .commands = ENGINE,
     .help = "changes kept in memory between reading and applying"},
    {.name = "idle_position_interval",
     .path = "stream.idle_position_interval",
     .type = SETTING_DURATION,
     .offset = FIELD(idle_position_interval_ms),
     .def = "10s",
     .min = 100,
     .max = 86400000,
     .commands = ENGINE,
     .help = "how often the position is stored while only other tables change"},
    {.name = "max_slot_wal",
     .path = "stream.max_slot_wal",
     .type = SETTING_BYTES,
     .offset = FIELD(max_slot_wal),
     .def = "0",
     .min = 0,
     .max = 1024 * TIB,
     .commands = ENGINE,
     .help = "WAL that the slot may hold back on the source; 0 is no bound"},
    {.name = "max_slot_wal_action",
     .path = "stream.max_slot_wal_action",
     .type = SETTING_ENUM,
     .offset = FIELD(max_slot_wal_action),
     .def = "stop",
     .choices = slot_wal_choices,
     .commands = ENGINE,
     .help = "what to do beyond max_slot_wal: stop, or drop the slot as well"},

    {.name = "connect_timeout",
     .path = "connection.connect_timeout",
     .type = SETTING_DURATION,
     .offset = FIELD(connect_timeout_ms),
     .def = "10s",
     .min = 100,
     .max = 3600000,
     .commands = SERVERS,
     .help = "how long to try one connection"},
    {.name = "reconnect_timeout",
     .path = "connection.reconnect_timeout",
     .type = SETTING_DURATION,
     .offset = FIELD(reconnect_timeout_ms),
     .def = "0",
     .min = 0,
     .max = 24 * 86400000LL,
     .commands = ENGINE,
     .help = "how long to try again after a connection was lost; 0 is without end"},
    {.name = "tcp_user_timeout",
     .path = "connection.tcp_user_timeout",
     .type = SETTING_DURATION,
     .offset = FIELD(tcp_user_timeout_ms),
     .def = "30s",
     .min = 0,
     .max = 3600000,
     .commands = SERVERS,
     .help = "a connection whose data is not acknowledged for this long is lost; 0 leaves it to "
             "the system"},

    {.name = "listen",
     .path = "listen",
     .type = SETTING_STRING,
     .offset = FIELD(listen),
     .def = "",
     .word = "HOST:PORT",
     .check = check_listen,
     .commands = ENGINE,
     .help = "serve /metrics and /healthz there; :PORT is this machine only; off when not set"},
    {.name = "log_level",
     .path = "log.level",
     .type = SETTING_ENUM,
     .offset = FIELD(log_level),
     .def = "info",
     .choices = level_choices,
     .commands = ALL,
     .help = "least level logged"},
    {.name = "log_format",
     .path = "log.format",
     .type = SETTING_ENUM,
     .offset = FIELD(log_format),
     .def = "logfmt",
     .choices = format_choices,
     .commands = ALL,
     .help = "form of the log lines on stderr"},
    {.name = "progress",
     .path = "progress",
     .type = SETTING_ENUM,
     .offset = FIELD(progress),
     .def = "auto",
     .choices = progress_choices,
     .commands = ENGINE | COMMAND_DEMO,
     .help = "show progress; auto: on a terminal only"},

    {.name = "json",
     .type = SETTING_BOOL,
     .offset = FIELD(json),
     .def = "false",
     .commands = COMMAND_VERIFY | COMMAND_CONFIG,
     .is_flag_only = true,
     .help = "print the result as JSON"},
    {.name = "scale",
     .type = SETTING_INT,
     .offset = FIELD(demo_scale),
     .def = "1",
     .min = 1,
     .max = 1000,
     .commands = COMMAND_DEMO,
     .is_flag_only = true,
     .help = "size of the shop database, in millions of rows"},
    {.name = "kill",
     .type = SETTING_BOOL,
     .offset = FIELD(demo_kill),
     .def = "false",
     .commands = COMMAND_DEMO,
     .is_flag_only = true,
     .help = "kill the engine twice on the way"},
    {.name = "break",
     .type = SETTING_BOOL,
     .offset = FIELD(demo_break),
     .def = "false",
     .commands = COMMAND_DEMO,
     .is_flag_only = true,
     .help = "alter one value on the target, which verify must find"},
    {.name = "keep",
     .type = SETTING_BOOL,
     .offset = FIELD(demo_keep),
     .def = "false",
     .commands = COMMAND_DEMO,
     .is_flag_only = true,
     .help = "leave the two clusters running at the end"},
};

const size_t settings_count = COUNT_OF(settings_table);
