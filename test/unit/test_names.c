/* Tests of the settings' spellings: those of pgstream, old and new, at every level; which mode they
 * mean; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_reader.h"

#define LISTENER "PGSTREAM_POSTGRES_LISTENER_URL=postgres://u@h/a\n"
#define SNAPSHOT "PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL=postgres://u@h/a\n"
#define STORE    "PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_STORE_URL=postgres://u@h/a\n"
#define ENABLED  "PGSTREAM_POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED="
#define TABLES   "PGSTREAM_POSTGRES_SNAPSHOT_TABLES=t\n"

/* One setting with all its spellings, and two values for it. */
struct row {
    const char *setting;
    const char *names[4]; /* behind PGSTREAM_POSTGRES_ and TRUNKLINE_POSTGRES_ */
    const char *path;     /* in YAML */
    const char *value;
    const char *other;
};

static const struct row rows[] = {
    {"source",
     {"LISTENER_URL", "SNAPSHOT_LISTENER_URL"},
     "source.postgres.url",
     "postgres://u@h/a",
     "postgres://u@h/b"},
    {"mode", {NULL}, "source.postgres.mode", "snapshot", "replication"},
    {"initial_snapshot",
     {"LISTENER_INITIAL_SNAPSHOT_ENABLED", "INITIAL_SNAPSHOT_ENABLED"},
     NULL,
     "true",
     "false"},
    {"slot",
     {"REPLICATION_SLOT_NAME"},
     "source.postgres.replication.replication_slot",
     "one",
     "two"},
    {"tables",
     {"INITIAL_SNAPSHOT_TABLES", "SNAPSHOT_TABLES"},
     "source.postgres.snapshot.tables",
     "t, s.*",
     "x"},
    {"excluded_tables",
     {"SNAPSHOT_EXCLUDED_TABLES"},
     "source.postgres.snapshot.excluded_tables",
     "a, b",
     "c"},
    {"schema_only_tables",
     {"SNAPSHOT_SCHEMA_ONLY_TABLES"},
     "source.postgres.snapshot.schema_only_tables",
     "a",
     "b"},
    {"snapshot_mode", {"SNAPSHOT_MODE"}, "source.postgres.snapshot.mode", "schema", "data"},
    {"snapshot_store",
     {"INITIAL_SNAPSHOT_STORE_URL", "SNAPSHOT_STORE_URL"},
     "source.postgres.snapshot.recorder.postgres_url",
     "postgres://u@h/a",
     "postgres://u@h/b"},
    {"snapshot_workers",
     {"SNAPSHOT_WORKERS", "INITIAL_SNAPSHOT_WORKERS"},
     "source.postgres.snapshot.snapshot_workers",
     "2",
     "3"},
    {"schema_workers",
     {"SNAPSHOT_SCHEMA_WORKERS", "INITIAL_SNAPSHOT_SCHEMA_WORKERS"},
     "source.postgres.snapshot.data.schema_workers",
     "2",
     "3"},
    {"table_workers",
     {"INITIAL_SNAPSHOT_TABLE_WORKERS", "SNAPSHOT_TABLE_WORKERS"},
     "source.postgres.snapshot.data.table_workers",
     "2",
     "3"},
    {"batch_page_size",
     {"SNAPSHOT_BATCH_PAGE_SIZE", "INITIAL_SNAPSHOT_BATCH_PAGE_SIZE"},
     "source.postgres.snapshot.data.batch_page_size",
     "1000",
     "2000"},
    {"part_size",
     {"SNAPSHOT_BATCH_BYTES"},
     "source.postgres.snapshot.data.batch_bytes",
     "64MiB",
     "80MiB"},
    {"target",
     {"WRITER_TARGET_URL"},
     "target.postgres.url",
     "postgres://u@h/a",
     "postgres://u@h/b"},
    {"group_max_changes", {"WRITER_BATCH_SIZE"}, "target.postgres.batch.size", "25", "26"},
    {"group_max_time", {"WRITER_BATCH_TIMEOUT"}, "target.postgres.batch.timeout", "5s", "250ms"},
    {"group_max_bytes", {"WRITER_BATCH_BYTES"}, "target.postgres.batch.max_bytes", "1MiB", "2MiB"},
    {"queue_bytes",
     {"WRITER_MAX_QUEUE_BYTES"},
     "target.postgres.batch.max_queue_bytes",
     "1MiB",
     "2MiB"},
    {"disable_triggers",
     {"WRITER_DISABLE_TRIGGERS"},
     "target.postgres.disable_triggers",
     "true",
     "false"},
    {"on_conflict_action",
     {"WRITER_ON_CONFLICT_ACTION"},
     "target.postgres.on_conflict_action",
     "update",
     "nothing"},
    {"schema_log_store",
     {"WRITER_SCHEMALOG_STORE_URL"},
     "target.postgres.schema_log_store_url",
     "postgres://u@h/a",
     "postgres://u@h/b"},
};

/* All names of a row with both prefixes, and our own. */
static void list_names(const struct row *row, struct strv *ret)
{
    static const char *const prefixes[] = {"PGSTREAM_", "TRUNKLINE_"};
    for (size_t p = 0; p < COUNT_OF(prefixes); p++)
        for (size_t n = 0; row->names[n]; n++)
            strv_take(ret, str_fmt("%sPOSTGRES_%s", prefixes[p], row->names[n]));
    strv_take(ret, setting_env(&settings_table[setting_index(row->setting)]));
}

static void expect_setting(const struct attempt *attempt, const struct row *row, const char *value,
                           const char *origin)
{
    if (!attempt->is_read)
        fail_msg("%s: %s", row->setting, attempt->text);
    AUTO(str_free) char *shown = value_of(attempt, row->setting);
    assert_string_equal(shown, value);
    const char *from = settings_origin(&attempt->s, row->setting);
    if (!strstr(from, origin))
        fail_msg("%s came from \"%s\", not \"%s\"", row->setting, from, origin);
}

static void every_name_sets_its_setting_in_files_and_environment(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO(strv_release) struct strv names = STRV_INIT;
        list_names(&rows[i], &names);
        for (size_t n = 0; n < names.count; n++) {
            const char *name = names.items[n];
            AUTO(str_free) char *file = str_fmt("# first\nexport %s=\"%s\"\n", name, rows[i].value);
            AUTO(str_free) char *place = str_fmt(":2 %s", name);
            AUTO(str_free) char *from = str_fmt("environment %s", name);
            AUTO(attempt_release) struct attempt in_file = {0};
            AUTO(attempt_release) struct attempt in_environment = {0};
            attempt_read(&in_file, COMMAND_CONFIG, file, ".env", "");
            expect_setting(&in_file, &rows[i], rows[i].value, place);
            (void)setenv(name, rows[i].value, 1);
            attempt_read(&in_environment, COMMAND_CONFIG, NULL, ".env", "");
            (void)unsetenv(name);
            expect_setting(&in_environment, &rows[i], rows[i].value, from);
        }
    }
}

/* "a.b.c" and "v" as three nested keys. */
static char *nest(const char *path, const char *value)
{
    struct buf out = BUF_INIT;
    for (int depth = 0; *path; depth++) {
        size_t len = strcspn(path, ".");
        buf_fmt(&out, "%s%*s%.*s:", depth ? "\n" : "", depth * 2, "", (int)len, path);
        path += len + (path[len] == '.');
    }
    buf_fmt(&out, " \"%s\"\n", value);
    return buf_take(&out);
}

static void every_path_sets_its_setting_in_yaml(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct setting *setting = &settings_table[setting_index(rows[i].setting)];
        const char *paths[] = {rows[i].path, setting->path,
                               setting->paths ? setting->paths[0] : NULL};
        for (size_t p = 0; p < COUNT_OF(paths); p++) {
            AUTO(str_free) char *file = paths[p] ? nest(paths[p], rows[i].value) : NULL;
            AUTO(attempt_release) struct attempt attempt = {0};
            if (!file)
                continue;
            attempt_read(&attempt, COMMAND_CONFIG, file, ".yaml", "");
            expect_setting(&attempt, &rows[i], rows[i].value, paths[p]);
        }
    }
}

static void flags_win_over_environment_over_files_in_every_spelling(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO(strv_release) struct strv names = STRV_INIT;
        list_names(&rows[i], &names);
        const char *first = names.items[0];
        const char *last = names.items[names.count - 1];
        AUTO(str_free) char *flag = setting_flag(&settings_table[setting_index(rows[i].setting)]);
        AUTO(str_free) char *file = str_fmt("%s=%s\n", last, rows[i].value);
        AUTO(str_free) char *flags = str_fmt("--%s=%s", flag, rows[i].other);
        AUTO(attempt_release) struct attempt two = {0};
        AUTO(attempt_release) struct attempt three = {0};
        (void)setenv(first, rows[i].other, 1);
        attempt_read(&two, COMMAND_CONFIG, file, ".env", "");
        (void)setenv(first, rows[i].value, 1);
        attempt_read(&three, COMMAND_CONFIG, file, ".env", flags);
        (void)unsetenv(first);
        expect_setting(&two, &rows[i], rows[i].other, "environment");
        expect_setting(&three, &rows[i], rows[i].other, "flag");
    }
}

static void expect_text(const struct attempt *attempt, const char *text)
{
    if (attempt->is_read)
        fail_msg("taken instead of \"%s\"", text);
    if (!strstr(attempt->text, text))
        fail_msg("\"%s\" lacks \"%s\"", attempt->text, text);
    assert_null(strstr(attempt->text, "SECRET"));
}

static void different_values_at_one_level_are_refused_by_both_names(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO(strv_release) struct strv names = STRV_INIT;
        list_names(&rows[i], &names);
        for (size_t n = 1; n < names.count; n++) {
            const char *first = names.items[0];
            const char *second = names.items[n];
            AUTO(str_free)
            char *equal =
                str_fmt("%s='%s'\n%s=\"%s\"\n", first, rows[i].value, second, rows[i].value);
            AUTO(str_free)
            char *different =
                str_fmt("%s='%s'\n%s='%s'\n", first, rows[i].value, second, rows[i].other);
            AUTO(str_free)
            char *expected = str_fmt("%s and FILE:1 %s set %s to different values", second, first,
                                     rows[i].setting);
            AUTO(attempt_release) struct attempt good = {0};
            AUTO(attempt_release) struct attempt bad = {0};
            attempt_read(&good, COMMAND_CONFIG, equal, ".env", "");
            expect_setting(&good, &rows[i], rows[i].value, first);
            attempt_read(&bad, COMMAND_CONFIG, different, ".env", "");
            expect_text(&bad, expected);
        }
    }
}

static void conflicts_are_found_in_environment_flags_and_yaml(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    (void)setenv("PGSTREAM_POSTGRES_LISTENER_URL", "postgres://u:SECRET@h/a", 1);
    (void)setenv("TRUNKLINE_SOURCE", "postgres://u:SECRET@h/b", 1);
    attempt_read(&attempt, COMMAND_CONFIG, NULL, ".env", "");
    (void)unsetenv("PGSTREAM_POSTGRES_LISTENER_URL");
    (void)unsetenv("TRUNKLINE_SOURCE");
    expect_text(&attempt, "set source to different values");
    expect_text(&attempt, "PGSTREAM_POSTGRES_LISTENER_URL");
    expect_text(&attempt, "TRUNKLINE_SOURCE");
    attempt_release(&attempt);
    attempt_read(&attempt, COMMAND_CONFIG, NULL, ".env",
                 "--pgurl=postgres://u:SECRET@h/a --source=postgres://u:SECRET@h/b");
    expect_text(&attempt, "--source and flag --pgurl set source to different values");
    attempt_release(&attempt);
    attempt_read(
        &attempt, COMMAND_CONFIG,
        "source:\n  slot: one\n  postgres:\n    replication:\n      replication_slot: two\n",
        ".yml", "");
    expect_text(&attempt, "FILE:5:25: source.postgres.replication.replication_slot and FILE:2 "
                          "source.slot set slot to different values");
}

static void values_are_compared_not_their_spelling(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG,
                 "PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s\nTRUNKLINE_GROUP_MAX_TIME=5000ms\n"
                 "TRUNKLINE_SNAPSHOT_WORKERS=04\nPGSTREAM_POSTGRES_SNAPSHOT_WORKERS=4\n"
                 "TRUNKLINE_PART_SIZE=1MB\nPGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES=1048576\n"
                 "PGSTREAM_POSTGRES_WRITER_DISABLE_TRIGGERS=1\nTRUNKLINE_DISABLE_TRIGGERS=True\n"
                 "TRUNKLINE_SLOT=a\nTRUNKLINE_SLOT=a\n"
                 "PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=\n",
                 ".env", "");
    if (!attempt.is_read)
        fail_msg("%s", attempt.text);
    assert_int_equal(attempt.s.disable_triggers, TRIGGERS_OFF);
    assert_string_equal(attempt.s.slot, "a");
}

static void second_flags_are_taken_and_named(void **state)
{
    static const struct {
        const char *flags;
        const char *origin;
    } cases[] = {{"--pgurl postgres://u@h/a --replication-slot x", "flag --pgurl"},
                 {"--postgres-url=postgres://u@h/a --replication-slot=x", "flag --postgres-url"},
                 {"--source postgres://u@h/a --slot x", "flag --source"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_INIT, NULL, ".env", cases[i].flags);
        if (!attempt.is_read)
            fail_msg("%s", attempt.text);
        assert_string_equal(attempt.s.source, "postgres://u@h/a");
        assert_string_equal(attempt.s.slot, "x");
        assert_string_equal(settings_origin(&attempt.s, "source"), cases[i].origin);
    }
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_INIT, NULL, ".env", "--pgulr=x");
    expect_text(&attempt, "unknown option --pgulr; did you mean --pgurl?");
}

static void the_mode_follows_from_the_names(void **state)
{
    static const struct {
        const char *file;
        const char *flags;
        enum mode mode;
    } cases[] = {
        {SNAPSHOT, "", MODE_SNAPSHOT},
        {SNAPSHOT TABLES, "", MODE_SNAPSHOT},
        {SNAPSHOT TABLES ENABLED "true\n", "", MODE_SNAPSHOT},
        {SNAPSHOT, "--source postgres://u@h/other", MODE_SNAPSHOT},
        {SNAPSHOT LISTENER, "", MODE_REPLICATION},
        {LISTENER, "", MODE_REPLICATION},
        {LISTENER ENABLED "true\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER ENABLED "1\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER TABLES, "", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER, "--tables t", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER TABLES ENABLED "true\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER TABLES ENABLED "false\n", "", MODE_REPLICATION},
        {LISTENER TABLES ENABLED "\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {LISTENER TABLES, "--mode snapshot", MODE_SNAPSHOT},
        {SNAPSHOT "TRUNKLINE_MODE=replication\n", "", MODE_REPLICATION},
        {SNAPSHOT "TRUNKLINE_MODE=auto\n", "", MODE_SNAPSHOT},
        {STORE, "", MODE_SNAPSHOT},
        {STORE TABLES, "", MODE_SNAPSHOT},
        {STORE ENABLED "true\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {STORE LISTENER, "", MODE_REPLICATION},
        {"", "--source postgres://u@h/a", MODE_SNAPSHOT_AND_REPLICATION},
        {TABLES, "--pgurl postgres://u@h/a", MODE_SNAPSHOT_AND_REPLICATION},
        {"TRUNKLINE_SOURCE=postgres://u@h/a\n", "", MODE_SNAPSHOT_AND_REPLICATION},
        {"TRUNKLINE_SOURCE=postgres://u@h/a\n" STORE, "", MODE_SNAPSHOT_AND_REPLICATION},
        {"TRUNKLINE_SOURCE=postgres://u@h/a\n", "--initial-snapshot=false", MODE_REPLICATION},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_STATUS, cases[i].file, ".env", cases[i].flags);
        if (!attempt.is_read)
            fail_msg("%s: %s", cases[i].file, attempt.text);
        if (attempt.s.mode != cases[i].mode)
            fail_msg("%s %s: mode %d", cases[i].file, cases[i].flags, (int)attempt.s.mode);
    }
}

static void the_mode_of_yaml_follows_the_rule_of_the_listener(void **state)
{
    static const struct {
        const char *file;
        enum mode mode;
    } cases[] = {
        {"source: {postgres: {url: 'postgres://u@h/a'}}", MODE_REPLICATION},
        {"source: {url: 'postgres://u@h/a'}", MODE_SNAPSHOT_AND_REPLICATION},
        {"source: {postgres: {url: 'postgres://u@h/a', snapshot: {tables: [t]}}}",
         MODE_SNAPSHOT_AND_REPLICATION},
        {"source: {postgres: {url: 'postgres://u@h/a', mode: snapshot}}", MODE_SNAPSHOT},
        {"source: {postgres: {url: 'postgres://u@h/a', mode: snapshot_and_replication}}",
         MODE_SNAPSHOT_AND_REPLICATION},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_STATUS, cases[i].file, ".yaml", "");
        if (!attempt.is_read || attempt.s.mode != cases[i].mode)
            fail_msg("%s: mode %d %s", cases[i].file, (int)attempt.s.mode, attempt.text);
    }
}

static void the_origin_of_the_mode_names_what_decided(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG, LISTENER TABLES, ".env", "");
    assert_string_equal(settings_origin(&attempt.s, "mode"),
                        "derived from PGSTREAM_POSTGRES_LISTENER_URL and "
                        "PGSTREAM_POSTGRES_SNAPSHOT_TABLES");
    attempt_release(&attempt);
    attempt_read(&attempt, COMMAND_SNAPSHOT,
                 LISTENER "PGSTREAM_POSTGRES_WRITER_TARGET_URL=postgres://u@h/b\n", ".env",
                 "--tables=t");
    assert_int_equal(attempt.s.mode, MODE_SNAPSHOT);
    assert_string_equal(settings_origin(&attempt.s, "mode"), "command snapshot");
}

static void the_size_of_a_part_is_given_once(void **state)
{
    static const struct {
        const char *file;
        const char *flags;
        int blocks; /* -1: refused */
    } cases[] = {
        {"PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=1000\n", "", 1000},
        {"PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=1000\n", "--part-size=1MB", 0},
        {"PGSTREAM_POSTGRES_SNAPSHOT_BATCH_BYTES=1MB\n", "--batch-page-size=5", 5},
        {"PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=0\nTRUNKLINE_PART_SIZE=1MB\n", "", 0},
        {"PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=9\nTRUNKLINE_PART_SIZE=1MB\n", "", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_CONFIG, cases[i].file, ".env", cases[i].flags);
        assert_int_equal(attempt.is_read, cases[i].blocks >= 0);
        if (attempt.is_read)
            assert_int_equal(attempt.s.batch_page_size, cases[i].blocks);
        else
            expect_text(&attempt, "FILE:1:44: PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE and "
                                  "FILE:2 TRUNKLINE_PART_SIZE both set the size of a part");
    }
}

static void the_store_is_the_source_when_nothing_else_is(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_STATUS, STORE, ".env", "");
    assert_true(attempt.is_read);
    assert_string_equal(attempt.s.source, "postgres://u@h/a");
    assert_non_null(strstr(settings_origin(&attempt.s, "source"), "STORE_URL"));
    attempt_release(&attempt);
    attempt_read(&attempt, COMMAND_STATUS, STORE, ".env", "--source=postgres://u@h/b");
    assert_string_equal(attempt.s.source, "postgres://u@h/b");
}

static void the_schema_of_the_state_is_named_like_the_program(void **state)
{
    AUTO(attempt_release) struct attempt own = {0};
    AUTO(attempt_release) struct attempt link = {.s = {.program = "pgstream"}};
    attempt_read(&own, COMMAND_CONFIG, NULL, ".env", "");
    attempt_read(&link, COMMAND_RUN, NULL, ".env", "");
    assert_string_equal(own.s.keeper_schema, "trunkline");
    assert_string_equal(link.s.keeper_schema, "pgstream");
    expect_text(&link, "source is not set: give --source or PGSTREAM_POSTGRES_LISTENER_URL");
    expect_text(&link, "target is not set: give --target or PGSTREAM_POSTGRES_WRITER_TARGET_URL");
}

static void unsupported_names_of_a_file_are_one_mistake(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG,
                 LISTENER "PGSTREAM_KAFKA_SERVERS=\"localhost:9092\"\n"
                          "PGSTREAM_OPENSEARCH_STORE_URL=http://u:SECRET@h\n"
                          "TRUNKLINE_WEBHOOK_NOTIFIER_WORKER_COUNT=4\n"
                          "PGSTREAM_INJECTOR_STORE_POSTGRES_URL=postgres://u:SECRET@h\n"
                          "PGSTREAM_TRANSFORMER_RULES_FILE=rules.yaml\n"
                          "PGSTREAM_POSTGRES_WRITER_EXP_BACKOFF_MAX_RETRIES=4\n"
                          "PGSTREAM_METRICS_ENDPOINT=x\nPGSTREAM_FILTER_INCLUDE_TABLES=\n"
                          "PGSTREAM_POSTGRES_SNAPSHOT_CLEAN_TARGET_DB=false\n"
                          "PGSTREAM_POSTGRES_SNAPSHOT_CREATE_TARGET_DB=true\n",
                 ".env", "");
    assert_int_equal(attempt.problems.count, 1);
    expect_text(&attempt,
                "FILE:2:1: these settings of pgstream are not supported: "
                "PGSTREAM_KAFKA_SERVERS (line 2), PGSTREAM_OPENSEARCH_STORE_URL (line 3), "
                "TRUNKLINE_WEBHOOK_NOTIFIER_WORKER_COUNT (line 4), "
                "PGSTREAM_INJECTOR_STORE_POSTGRES_URL (line 5), "
                "PGSTREAM_TRANSFORMER_RULES_FILE (line 6), "
                "PGSTREAM_POSTGRES_WRITER_EXP_BACKOFF_MAX_RETRIES (line 7), "
                "PGSTREAM_METRICS_ENDPOINT (line 8), "
                "PGSTREAM_POSTGRES_SNAPSHOT_CREATE_TARGET_DB (line 11); hint: remove them");
}

static void mistyped_names_are_recognised_in_files_and_environment(void **state)
{
    static const struct {
        const char *name;
        const char *meant; /* NULL: nothing; in the environment the name is ignored then */
    } cases[] = {
        {"PGSTREAM_POSTGRES_LISTENER_ULR", "PGSTREAM_POSTGRES_LISTENER_URL"},
        {"TRUNKLINE_POSTGRES_LISTENER_ULR", "TRUNKLINE_POSTGRES_LISTENER_URL"},
        {"PGSTREAM_LISTENER_URL", "PGSTREAM_POSTGRES_LISTENER_URL"},
        {"PGSTREAM_POSTGRES_SNAPSHOT_TABLE", "PGSTREAM_POSTGRES_SNAPSHOT_TABLES"},
        {"PGSTREAM_SLOT", "TRUNKLINE_SLOT"},
        {"TRUNKLINE_COPIRES", "TRUNKLINE_COPIERS"},
        {"PGSTREAM_XYZZY", NULL},
        {"TRUNKLINE_FAULT", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str_free) char *file = str_fmt("%s=x\n", cases[i].name);
        AUTO(str_free)
        char *meant = cases[i].meant ? str_fmt("; did you mean %s?", cases[i].meant) : str_dup("");
        AUTO(str_free)
        char *in_file = str_fmt("FILE:1:1: unknown setting %s%s", cases[i].name, meant);
        AUTO(str_free)
        char *in_environment =
            str_fmt("unknown setting %s in the environment%s", cases[i].name, meant);
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_CONFIG, file, ".env", "");
        expect_text(&attempt, in_file);
        attempt_release(&attempt);
        (void)setenv(cases[i].name, "x", 1);
        attempt_read(&attempt, COMMAND_CONFIG, NULL, ".env", "");
        (void)unsetenv(cases[i].name);
        if (cases[i].meant)
            expect_text(&attempt, in_environment);
        else
            assert_true(attempt.is_read);
    }
}

static void unsupported_names_of_the_environment_are_refused(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    AUTO(attempt_release) struct attempt demo = {0};
    (void)setenv("PGSTREAM_KAFKA_SERVERS", "SECRET", 1);
    (void)setenv("KAFKA_SERVERS", "x", 1);
    attempt_read(&attempt, COMMAND_CONFIG, NULL, ".env", "");
    attempt_read(&demo, COMMAND_DEMO, NULL, ".env", "");
    (void)unsetenv("PGSTREAM_KAFKA_SERVERS");
    (void)unsetenv("KAFKA_SERVERS");
    expect_text(&attempt, "these settings of pgstream in the environment are not supported: "
                          "PGSTREAM_KAFKA_SERVERS; hint: unset them");
    assert_true(demo.is_read);
}

static void names_of_other_programs_are_left_alone(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG,
                 "PATH=/bin\nPOSTGRES_PASSWORD=x\nHOME=${NOT_SET_AT_ALL}\n", ".env", "");
    if (!attempt.is_read)
        fail_msg("%s", attempt.text);
    attempt_release(&attempt);
    attempt_read(&attempt, COMMAND_CONFIG, "POSTGRES_LISTENER_URL=x\n", ".env", "");
    expect_text(&attempt, "did you mean PGSTREAM_POSTGRES_LISTENER_URL?");
}

static void spellings_are_never_shared_by_two_settings(void **state)
{
    AUTO(strv_release) struct strv seen = STRV_INIT;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        AUTO(strv_release) struct strv own = STRV_INIT;
        strv_take(&own, setting_flag(setting));
        strv_take(&own, setting_env(setting));
        if (setting->path)
            strv_add(&own, setting->path);
        for (size_t n = 0; setting->paths && setting->paths[n]; n++)
            strv_add(&own, setting->paths[n]);
        for (size_t n = 0; setting->names && setting->names[n]; n++)
            strv_take(&own, str_fmt("TRUNKLINE_%s", setting->names[n]));
        for (size_t n = 0; setting->flags && setting->flags[n]; n++)
            strv_add(&own, setting->flags[n]);
        for (size_t n = 0; n < own.count; n++) {
            if (strv_has(&seen, own.items[n]))
                fail_msg("%s stands twice", own.items[n]);
        }
        for (size_t n = 0; n < own.count; n++)
            strv_add(&seen, own.items[n]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_sets_its_setting_in_files_and_environment),
        cmocka_unit_test(every_path_sets_its_setting_in_yaml),
        cmocka_unit_test(flags_win_over_environment_over_files_in_every_spelling),
        cmocka_unit_test(different_values_at_one_level_are_refused_by_both_names),
        cmocka_unit_test(conflicts_are_found_in_environment_flags_and_yaml),
        cmocka_unit_test(values_are_compared_not_their_spelling),
        cmocka_unit_test(second_flags_are_taken_and_named),
        cmocka_unit_test(the_mode_follows_from_the_names),
        cmocka_unit_test(the_mode_of_yaml_follows_the_rule_of_the_listener),
        cmocka_unit_test(the_origin_of_the_mode_names_what_decided),
        cmocka_unit_test(the_size_of_a_part_is_given_once),
        cmocka_unit_test(the_store_is_the_source_when_nothing_else_is),
        cmocka_unit_test(the_schema_of_the_state_is_named_like_the_program),
        cmocka_unit_test(unsupported_names_of_a_file_are_one_mistake),
        cmocka_unit_test(mistyped_names_are_recognised_in_files_and_environment),
        cmocka_unit_test(unsupported_names_of_the_environment_are_refused),
        cmocka_unit_test(names_of_other_programs_are_left_alone),
        cmocka_unit_test(spellings_are_never_shared_by_two_settings),
    };
    clear_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
