/* The one list of pgstream's settings that trunkline has nothing for. */
#include "conf/unsupported.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

#define SNAPSHOT "source.postgres.snapshot."
#define RESTORE  SNAPSHOT "schema.pgdump_pgrestore."

const struct unsupported unsupported_table[] = {
    {"KAFKA_", "source.kafka"},
    {NULL, "target.kafka"},
    {"NATS_", "source.nats_jetstream"},
    {NULL, "target.nats_jetstream"},
    {"SEARCH_", "target.search"},
    {"OPENSEARCH_", NULL},
    {"ELASTICSEARCH_", NULL},
    {"WEBHOOK_", "target.webhooks"},
    {"STDOUT_", "target.stdout"},
    {"INJECTOR_", "modifiers.injector"},
    {"TRANSFORMER_", "modifiers.transformations"},
    {"TRANSFORMERS_", NULL},
    {"FILTER_", "modifiers.filter"},
    {"METRICS_", "instrumentation.metrics"},
    {"TRACES_", "instrumentation.traces"},
    {"HEALTH_", NULL},
    {"POSTGRES_LISTENER_EXP_BACKOFF_", "source.postgres.retry_policy"},
    {"POSTGRES_LISTENER_BACKOFF_", NULL},
    {"POSTGRES_LISTENER_DISABLE_RETRIES", NULL},
    {"POSTGRES_REPLICATION_PLUGIN_", "source.postgres.replication.plugin"},
    {"POSTGRES_SNAPSHOT_STORE_REPEATABLE", SNAPSHOT "recorder.repeatable_snapshots"},
    {"POSTGRES_INITIAL_SNAPSHOT_STORE_REPEATABLE", NULL},
    {"POSTGRES_SNAPSHOT_MAX_CONNECTIONS", SNAPSHOT "data.max_connections"},
    {"POSTGRES_SNAPSHOT_DISABLE_PROGRESS_TRACKING", SNAPSHOT "disable_progress_tracking", "false"},
    {NULL, SNAPSHOT "schema.mode", "pgdump_pgrestore"},
    {"POSTGRES_SNAPSHOT_USE_SCHEMALOG", NULL, "false"},
    {"POSTGRES_SNAPSHOT_CLEAN_TARGET_DB", RESTORE "clean_target_db", "false"},
    {"POSTGRES_SNAPSHOT_CREATE_TARGET_DB", RESTORE "create_target_db", "false"},
    {"POSTGRES_SNAPSHOT_INCLUDE_GLOBAL_DB_OBJECTS", RESTORE "include_global_db_objects"},
    {"POSTGRES_SNAPSHOT_ROLE", RESTORE "role"},
    {"POSTGRES_SNAPSHOT_ROLES_SNAPSHOT_MODE", RESTORE "roles_snapshot_mode", "disabled"},
    {"POSTGRES_SNAPSHOT_SCHEMA_DUMP_FILE", RESTORE "dump_file"},
    {"POSTGRES_SNAPSHOT_EXCLUDED_SECURITY_LABELS", RESTORE "excluded_security_labels"},
    {NULL, RESTORE "exclude_security_labels"},
    {NULL, RESTORE "refresh_materialized_views", "true"},
    {NULL, RESTORE "index_constraint_session_settings"},
    {NULL, RESTORE "index_restore_workers"},
    {"POSTGRES_WRITER_EXP_BACKOFF_", "target.postgres.retry_policy"},
    {"POSTGRES_WRITER_BACKOFF_", NULL},
    {"POSTGRES_WRITER_DISABLE_RETRIES", NULL},
    {"POSTGRES_WRITER_MAX_CONNECTIONS", "target.postgres.max_connections"},
    {"POSTGRES_WRITER_BULK_INGEST_", "target.postgres.bulk_ingest"},
    {"POSTGRES_WRITER_BATCH_IGNORE_SEND_ERRORS", "target.postgres.batch.ignore_send_errors",
     "false"},
    {"POSTGRES_WRITER_BATCH_AUTO_TUNE_", "target.postgres.batch.auto_tune"},
    {"POSTGRES_WRITER_IGNORE_DDL", "target.postgres.ignore_ddl"},
    {"POSTGRES_WRITER_STRICT_MODE", "target.postgres.strict_mode", "true"},
    {NULL, "target.postgres.include_ddl_object_types"},
    {NULL, "target.postgres.exclude_ddl_object_types"},
    {NULL, RESTORE "include_object_types"},
    {NULL, RESTORE "exclude_object_types"},
    {NULL, "modifiers.sanitize"},
    {NULL, "instrumentation.health"},
    {NULL, "logging.format.no_color", "false"},
};

const size_t unsupported_count = COUNT_OF(unsupported_table);

static enum support judge(const struct unsupported *row, const char *value)
{
    bool is_same = row->same && value && strcasecmp(row->same, value) == 0;
    return is_same ? SUPPORT_NEEDLESS : SUPPORT_NONE;
}

enum support support_of_env(const char *name, const char *value)
{
    for (size_t i = 0; i < unsupported_count; i++) {
        const char *known = unsupported_table[i].name;
        size_t len = known ? strlen(known) : 0;
        bool is_family = len > 0 && known[len - 1] == '_';
        if (len > 0 && strncmp(name, known, len) == 0 && (is_family || name[len] == '\0'))
            return judge(&unsupported_table[i], value);
    }
    return SUPPORT_UNKNOWN;
}

enum support support_of_path(const char *path, const char *value)
{
    for (size_t i = 0; i < unsupported_count; i++) {
        const char *known = unsupported_table[i].path;
        size_t len = known ? strlen(known) : 0;
        if (len > 0 && strncmp(path, known, len) == 0 && (path[len] == '.' || path[len] == '\0'))
            return judge(&unsupported_table[i], value);
    }
    return SUPPORT_UNKNOWN;
}
