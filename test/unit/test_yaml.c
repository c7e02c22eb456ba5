/* Tests of configuration files: YAML with its places, ${NAME} in both kinds, every mistake at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/env_file.h"
#include "conf/expand.h"
#include "conf/yaml_file.h"
#include "settings_reader.h"

static void expect_problems(const struct strv *problems, const char *const *expected)
{
    size_t count = 0;
    for (; expected[count]; count++) {
        if (count >= problems->count)
            fail_msg("\"%s\" is missing", expected[count]);
        if (strncmp(problems->items[count], expected[count], strlen(expected[count])) != 0)
            fail_msg("\"%s\" is not \"%s\"", problems->items[count], expected[count]);
    }
    if (count < problems->count)
        fail_msg("\"%s\" was not expected", problems->items[count]);
}

static void yaml_keys_have_paths_values_and_places(void **state)
{
    static const char text[] = "# a comment\n"
                               "source:\n"
                               "  postgres:\n"
                               "    url: \"a\\tb\"\n"
                               "    tables: [one, 'two', \"three\"]\n"
                               "other: {x: 1, y: }\n"
                               "list:\n"
                               "  - a\n"
                               "  - b\n"
                               "deep: [[a], {b: c}]\n"
                               "text: |\n"
                               "  lines\n"
                               "null_word: ~\n";
    static const struct {
        const char *path;
        const char *value;
        enum entry_kind kind;
        size_t line, column, value_line, value_column;
    } expected[] = {
        {"source", NULL, ENTRY_KEYS, 2, 1, 3, 3},
        {"source.postgres", NULL, ENTRY_KEYS, 3, 3, 4, 5},
        {"source.postgres.url", "a\tb", ENTRY_VALUE, 4, 5, 4, 10},
        {"source.postgres.tables", "one,two,three", ENTRY_LIST, 5, 5, 5, 13},
        {"other", NULL, ENTRY_KEYS, 6, 1, 6, 8},
        {"other.x", "1", ENTRY_VALUE, 6, 9, 6, 12},
        {"other.y", "", ENTRY_VALUE, 6, 15, 6, 18},
        {"list", "a,b", ENTRY_LIST, 7, 1, 8, 3},
        {"deep", "", ENTRY_OTHER, 10, 1, 10, 7},
        {"text", "lines\n", ENTRY_VALUE, 11, 1, 11, 7},
        {"null_word", "~", ENTRY_VALUE, 13, 1, 13, 12},
    };
    AUTO(yaml_file_release) struct yaml_file file = YAML_FILE_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    yaml_file_parse("f", text, &file, &problems);
    expect_problems(&problems, (const char *const[]){NULL});
    assert_int_equal(file.count, COUNT_OF(expected));
    for (size_t i = 0; i < file.count; i++) {
        const struct yaml_entry *entry = &file.items[i];
        assert_string_equal(entry->path, expected[i].path);
        assert_int_equal(entry->kind, expected[i].kind);
        if (expected[i].value)
            assert_string_equal(entry->value, expected[i].value);
        assert_int_equal(entry->line, expected[i].line);
        assert_int_equal(entry->column, expected[i].column);
        assert_int_equal(entry->value_line, expected[i].value_line);
        assert_int_equal(entry->value_column, expected[i].value_column);
    }
    assert_true(yaml_entry_is_null(&file.items[6]));
    assert_true(yaml_entry_is_null(&file.items[10]));
    assert_false(yaml_entry_is_null(&file.items[9]));
}

static void what_is_not_plain_yaml_is_refused_at_its_place(void **state)
{
    static const struct {
        const char *text;
        const char *problems[4];
    } cases[] = {
        {"", {NULL}},
        {"# only a comment\n", {NULL}},
        {"---\n", {NULL}},
        {"- a\n", {"f:1:1: expected keys with values"}},
        {"word\n", {"f:1:1: expected keys with values"}},
        {"a: 1\na: 2\n", {"f:2:1: a stands on line 1 already"}},
        {"a: {b: 1, b: {c: 2}}\n", {"f:1:11: a.b stands on line 1 already"}},
        {"a: &x 1\nb: *x\n",
         {"f:1:4: anchors and aliases are not supported", "f:2:4: anchors and aliases"}},
        {"a: &x {b: 1}\nc:\n  <<: *x\n", {"f:1:4: anchors", "f:3:3: merge keys are not supported"}},
        {"a: *nowhere\n", {"f:1:4: anchors"}},
        {"a: !mine 1\n", {"f:1:4: tags are not supported"}},
        {"a: !!str 1\n", {NULL}},
        {"a: 1\n---\nb: 1\n", {"f:2:1: a second document"}},
        {"a: 1\n...\n", {NULL}},
        {"? [a, b]\n: 1\nc: 2\n", {"f:1:3: a key must be a word"}},
        {"? {a: b}\n: 1\n", {"f:1:3: a key must be a word"}},
        {"'': 1\n", {"f:1:1: a key must not be empty"}},
        {"a: \"x\\0y\"\n", {"f:1:4: the value holds a zero byte"}},
        {"a: 1\n b: 2\n", {"f:2:3: not valid YAML: mapping values are not allowed"}},
        {"a: [1\n", {"f:2:1: not valid YAML: "}},
        {"a: \"SECRET\n", {"f:2:1: not valid YAML: found unexpected end of stream"}},
        {"a:\n\t- b\n", {"f:2:1: not valid YAML: found character that cannot start any token"}},
        {"a: 1\nb: \xff\n", {"f:2:4: not valid YAML: invalid leading UTF-8 octet"}},
        {"a: %SECRET\n", {"f:1:4: not valid YAML: "}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(yaml_file_release) struct yaml_file file = YAML_FILE_INIT;
        AUTO(strv_release) struct strv problems = STRV_INIT;
        yaml_file_parse("f", cases[i].text, &file, &problems);
        expect_problems(&problems, cases[i].problems);
        for (size_t p = 0; p < problems.count; p++)
            assert_null(strstr(problems.items[p], "SECRET"));
    }
}

static void depth_and_number_of_keys_are_bounded(void **state)
{
    static const char *const openings[] = {"{a: ", "[", "- ", "{? "};
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        AUTO(buf_release) struct buf text = BUF_INIT;
        AUTO(yaml_file_release) struct yaml_file file = YAML_FILE_INIT;
        AUTO(strv_release) struct strv problems = STRV_INIT;
        buf_puts(&text, "a: \n  ");
        for (int depth = 0; depth < 5000; depth++)
            buf_puts(&text, openings[i]);
        yaml_file_parse("f", buf_text(&text), &file, &problems);
        assert_true(problems.count > 0);
        assert_non_null(strstr(problems.items[problems.count - 1], "nested too deeply"));
    }
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(yaml_file_release) struct yaml_file file = YAML_FILE_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    for (int key = 0; key < 5000; key++)
        buf_fmt(&text, "k%d: 1\n", key);
    yaml_file_parse("f", buf_text(&text), &file, &problems);
    expect_problems(&problems, (const char *const[]){"f:2001:1: there are too many keys", NULL});
}

static const char *lookup(const void *context, const char *name)
{
    return strcmp(name, "NAME") == 0 ? context : NULL;
}

static void references_expand_and_dollars_stay(void **state)
{
    static const struct {
        const char *text;
        const char *result; /* NULL: refused */
        const char *problem;
        size_t offset;
    } cases[] = {
        {"", "", NULL, 0},
        {"plain", "plain", NULL, 0},
        {"${NAME}", "${x}", NULL, 0},
        {"a${NAME}b${NAME}", "a${x}b${x}", NULL, 0},
        {"$NAME $ $$ $1 a$", "$NAME $ $$ $1 a$", NULL, 0},
        {"$${NAME}", "$${x}", NULL, 0},
        {"{NAME}", "{NAME}", NULL, 0},
        {"ab${OTHER}", NULL, "${OTHER} is not set", 2},
        {"${}", NULL, "\"${\" is not followed by a name and \"}\"", 0},
        {"${NAME", NULL, "\"${\" is not followed", 0},
        {"${1X}", NULL, "\"${\" is not followed", 0},
        {"${NAME:-x}", NULL, "\"${\" is not followed", 0},
        {"x${", NULL, "\"${\" is not followed", 1},
    };
    struct expander expander = {lookup, "${x}"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO(str_free) char *problem = NULL;
        size_t offset = 99;
        bool is_good =
            expand_text(&expander, cases[i].text, strlen(cases[i].text), &out, &offset, &problem);
        assert_int_equal(is_good, cases[i].result != NULL);
        if (is_good) {
            assert_string_equal(buf_text(&out), cases[i].result);
        } else {
            assert_non_null(strstr(problem, cases[i].problem));
            assert_int_equal(offset, cases[i].offset);
        }
    }
}

static void env_files_expand_what_quotes_allow(void **state)
{
    static const char text[] = "HOST=inner\n"
                               "A=pg://${HOST}/${TRUNKLINE_TEST_DB}?x=$HOST\n"
                               "B=\"${HOST} \\${HOST} $HOST\"\n"
                               "C='${HOST} ${NOT_SET}'\n"
                               "D=${NOT_SET}\n"
                               "E=\"x ${D}\"\n"
                               "F=${TRUNKLINE_TEST_DB # comment\n";
    static const struct {
        const char *value;
        const char *problem;
        size_t column;
    } expected[] = {
        {"inner", NULL, 0},
        {"pg://inner/db?x=$HOST", NULL, 0},
        {"inner ${HOST} $HOST", NULL, 0},
        {"${HOST} ${NOT_SET}", NULL, 0},
        {NULL, "${NOT_SET} is not set", 3},
        {NULL, "${D} is not set", 6},
        {NULL, "\"${\" is not followed", 3},
    };
    AUTO(env_file_release) struct env_file file = ENV_FILE_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    (void)setenv("TRUNKLINE_TEST_DB", "db", 1);
    env_file_parse("f", text, &file, &problems);
    (void)unsetenv("TRUNKLINE_TEST_DB");
    assert_int_equal(problems.count, 0);
    assert_int_equal(file.count, COUNT_OF(expected));
    for (size_t i = 0; i < file.count; i++) {
        if (expected[i].value)
            assert_string_equal(file.items[i].value, expected[i].value);
        assert_int_equal(file.items[i].problem != NULL, expected[i].problem != NULL);
        if (expected[i].problem)
            assert_non_null(strstr(file.items[i].problem, expected[i].problem));
        assert_int_equal(file.items[i].problem_column, expected[i].column);
    }
}

static void the_environment_wins_over_lines_above(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    (void)setenv("NAME_OF_A_TEST", "outer", 1);
    attempt_read(&attempt, COMMAND_CONFIG,
                 "NAME_OF_A_TEST=inner\nTRUNKLINE_SLOT=${NAME_OF_A_TEST}\n", ".env", "");
    (void)unsetenv("NAME_OF_A_TEST");
    assert_true(attempt.is_read);
    assert_string_equal(attempt.s.slot, "outer");
}

static void yaml_values_expand_outside_single_quotes(void **state)
{
    AUTO(attempt_release) struct attempt attempt = {0};
    (void)setenv("NAME_OF_A_TEST", "b", 1);
    attempt_read(&attempt, COMMAND_CONFIG,
                 "source:\n  url: postgres://u@h/${NAME_OF_A_TEST}\n"
                 "  slot: \"a_${NAME_OF_A_TEST}\"\n  tables: [\"${NAME_OF_A_TEST}\", c]\n"
                 "target: {url: 'postgres://u:${x}@h/$d'}\n",
                 ".yaml", "");
    (void)unsetenv("NAME_OF_A_TEST");
    if (!attempt.is_read)
        fail_msg("%s", attempt.text);
    assert_string_equal(attempt.s.source, "postgres://u@h/b");
    assert_string_equal(attempt.s.slot, "a_b");
    assert_string_equal(attempt.s.tables.items[0], "b");
    assert_string_equal(attempt.s.target, "postgres://u:${x}@h/$d");
}

static void unset_references_are_mistakes_with_their_place(void **state)
{
    AUTO(attempt_release) struct attempt env = {0};
    AUTO(attempt_release) struct attempt yaml = {0};
    attempt_read(&env, COMMAND_RUN, "# x\nTRUNKLINE_SOURCE=\"postgres://u:SECRET${NOT_SET}@h\"\n",
                 ".env", "--target=postgres://u@h/b");
    attempt_read(&yaml, COMMAND_RUN,
                 "target: {url: 'postgres://u@h/b'}\nsource:\n  postgres:\n"
                 "    url: postgres://u:SECRET${NOT_SET}@h\n    snapshot:\n"
                 "      tables: [a, \"${NOT_SET}\"]\n",
                 ".yaml", "");
    assert_string_equal(env.text, "FILE:2:38: TRUNKLINE_SOURCE: ${NOT_SET} is not set");
    assert_string_equal(yaml.text, "FILE:4:10: source.postgres.url: ${NOT_SET} is not set\n"
                                   "FILE:6:19: source.postgres.snapshot.tables: ${NOT_SET} is not "
                                   "set");
}

static void the_documented_file_of_pgstream_is_read(void **state)
{
    static const char file[] =
        "source:\n"
        "  postgres:\n"
        "    url: \"postgresql://user:password@localhost:5432/mydatabase\"\n"
        "    mode: snapshot_and_replication # or replication, snapshot\n"
        "    snapshot:\n"
        "      mode: full\n"
        "      tables: [\"test\", \"test_schema.Test\", \"another_schema.*\"]\n"
        "      excluded_tables: [\"test_schema.Test\"]\n"
        "      schema_only_tables: []\n"
        "      recorder:\n"
        "        postgres_url: \"postgresql://user:password@localhost:5432/mydatabase\"\n"
        "      snapshot_workers: 4\n"
        "      data:\n"
        "        schema_workers: 5\n"
        "        table_workers: 6\n"
        "        batch_bytes: 83886080\n"
        "      schema:\n"
        "        mode: pgdump_pgrestore\n"
        "        pgdump_pgrestore:\n"
        "          clean_target_db: false\n"
        "          no_owner: true\n"
        "          no_privileges: true\n"
        "          role:\n"
        "    replication:\n"
        "      replication_slot: \"pgstream_mydatabase_slot\"\n"
        "target:\n"
        "  postgres:\n"
        "    url: \"postgresql://user:password@localhost:5432/mytargetdatabase\"\n"
        "    batch:\n"
        "      timeout: 1000 # in milliseconds\n"
        "      size: 100\n"
        "      ignore_send_errors: false\n"
        "    schema_log_store_url: \"postgresql://user:password@localhost:5432/mydatabase\"\n"
        "    disable_triggers: false\n"
        "    on_conflict_action: \"nothing\"\n"
        "logging:\n"
        "  level: debug\n"
        "  format: {type: json}\n";
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_RUN, file, ".yml", "");
    if (!attempt.is_read)
        fail_msg("%s", attempt.text);
    const struct settings *s = &attempt.s;
    assert_string_equal(s->source, "postgresql://user:password@localhost:5432/mydatabase");
    assert_int_equal(s->mode, MODE_SNAPSHOT_AND_REPLICATION);
    assert_int_equal(s->tables.count, 3);
    assert_int_equal(s->excluded_tables.count, 1);
    assert_int_equal(s->schema_only_tables.count, 0);
    assert_int_equal(s->snapshot_workers, 4);
    assert_int_equal(s->schema_workers, 5);
    assert_int_equal(s->table_workers, 6);
    assert_int_equal(s->part_size, 83886080);
    assert_true(s->no_owner && s->no_privileges);
    assert_string_equal(s->slot, "pgstream_mydatabase_slot");
    assert_int_equal(s->group_max_time_ms, 1000);
    assert_int_equal(s->group_max_changes, 100);
    assert_int_equal(s->disable_triggers, TRIGGERS_FIRE);
    assert_int_equal(s->on_conflict, CONFLICT_NOTHING);
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->log_format, LOG_JSON);
    assert_string_equal(s->schema_log_store, s->source);
}

static void all_mistakes_of_a_yaml_file_are_named_at_once(void **state)
{
    static const char file[] = "source:\n"
                               "  postgres:\n"
                               "    urll: x\n"
                               "    snapshto: {mode: full}\n"
                               "    table_workers: 3\n"
                               "    snapshot:\n"
                               "      mode: [full]\n"
                               "      tables: {a: b}\n"
                               "      snapshot_workers: lots\n"
                               "      data: 5\n"
                               "target:\n"
                               "  postgres:\n"
                               "    url: nonsense:SECRET\n"
                               "    batch: {timeout: 5 apples}\n"
                               "stream: {group: {max_time: 5}}\n"
                               "unheard_of: {of: things}\n"
                               "slot: x\n";
    static const char *const expected[] = {
        "FILE:3:5: unknown key source.postgres.urll; did you mean source.postgres.url?",
        "FILE:4:5: unknown key source.postgres.snapshto; did you mean source.postgres.snapshot?",
        "FILE:5:5: unknown key source.postgres.table_workers; did you mean "
        "source.postgres.snapshot.data.table_workers?",
        "FILE:7:13: source.postgres.snapshot.mode: expected one value, not a list",
        "FILE:8:15: source.postgres.snapshot.tables: expected a list of names",
        "FILE:10:13: source.postgres.snapshot.data: expected keys below it, not a value",
        "FILE:16:1: unknown key unheard_of",
        "FILE:17:1: unknown key slot; did you mean source.slot?",
        "FILE:9:25: source.postgres.snapshot.snapshot_workers: \"lots\" is not a number",
        "FILE:13:10: target.postgres.url: not a connection URL",
        "FILE:14:22: target.postgres.batch.timeout: \"5 apples\" is not a duration",
        NULL,
    };
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG, file, ".yaml", "");
    assert_false(attempt.is_read);
    assert_null(strstr(attempt.text, "SECRET"));
    for (size_t i = 0; expected[i]; i++)
        if (!strstr(attempt.text, expected[i]))
            fail_msg("\"%s\" lacks \"%s\"", attempt.text, expected[i]);
    assert_int_equal(attempt.problems.count, COUNT_OF(expected) - 1);
}

static void bare_numbers_are_milliseconds_only_in_yaml(void **state)
{
    static const struct {
        const char *file;
        const char *ending;
        bool is_taken;
    } cases[] = {
        {"target: {postgres: {batch: {timeout: 1500}}}", ".yaml", true},
        {"target: {postgres: {batch: {timeout: 1500ms}}}", ".yaml", true},
        {"target: {postgres: {batch: {timeout: '1500'}}}", ".yaml", false},
        {"connection: {connect_timeout: 1500}", ".yaml", false},
        {"PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=1500", ".env", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(attempt_release) struct attempt attempt = {0};
        attempt_read(&attempt, COMMAND_CONFIG, cases[i].file, cases[i].ending, "");
        if (attempt.is_read != cases[i].is_taken)
            fail_msg("%s: %s", cases[i].file, attempt.text);
        if (attempt.is_read)
            assert_int_equal(attempt.s.group_max_time_ms, 1500);
    }
}

static void unsupported_keys_of_a_yaml_file_are_one_mistake(void **state)
{
    static const char file[] =
        "source:\n"
        "  postgres:\n"
        "    url: postgres://u@h/a\n"
        "    retry_policy: {exponential: {max_retries: 5}}\n"
        "  kafka: {servers: [a]}\n"
        "target:\n"
        "  kafka: {topic: {name: x}}\n"
        "  search: {engine: elasticsearch, url: 'http://u:SECRET@h'}\n"
        "  webhooks: {notifier: {worker_count: 4}}\n"
        "  postgres: {bulk_ingest: {enabled: true}, batch: {auto_tune: {enabled: true}}}\n"
        "  stdout: {}\n"
        "modifiers:\n"
        "  injector: {enabled: true}\n"
        "  filter: {include_tables: [a]}\n"
        "  transformations:\n"
        "    table_transformers: [{schema: public, table: t}]\n"
        "instrumentation: {metrics: {endpoint: x}, traces: {endpoint: x}}\n";
    AUTO(attempt_release) struct attempt attempt = {0};
    attempt_read(&attempt, COMMAND_CONFIG, file, ".yaml", "");
    assert_false(attempt.is_read);
    assert_string_equal(
        attempt.text,
        "FILE:4:5: these settings of pgstream are not supported: source.postgres.retry_policy "
        "(line 4), source.kafka (line 5), target.kafka (line 7), target.search (line 8), "
        "target.webhooks (line 9), target.postgres.bulk_ingest (line 10), "
        "target.postgres.batch.auto_tune (line 10), target.stdout (line 11), modifiers.injector "
        "(line 13), modifiers.filter (line 14), modifiers.transformations (line 15), "
        "instrumentation.metrics (line 17), instrumentation.traces (line 17); hint: remove them");
}

static void every_setting_of_a_file_has_a_place_in_yaml(void **state)
{
    for (size_t i = 0; i < settings_count; i++)
        assert_int_equal(settings_table[i].path != NULL, !settings_table[i].is_flag_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_keys_have_paths_values_and_places),
        cmocka_unit_test(what_is_not_plain_yaml_is_refused_at_its_place),
        cmocka_unit_test(depth_and_number_of_keys_are_bounded),
        cmocka_unit_test(references_expand_and_dollars_stay),
        cmocka_unit_test(env_files_expand_what_quotes_allow),
        cmocka_unit_test(the_environment_wins_over_lines_above),
        cmocka_unit_test(yaml_values_expand_outside_single_quotes),
        cmocka_unit_test(unset_references_are_mistakes_with_their_place),
        cmocka_unit_test(the_documented_file_of_pgstream_is_read),
        cmocka_unit_test(all_mistakes_of_a_yaml_file_are_named_at_once),
        cmocka_unit_test(bare_numbers_are_milliseconds_only_in_yaml),
        cmocka_unit_test(unsupported_keys_of_a_yaml_file_are_one_mistake),
        cmocka_unit_test(every_setting_of_a_file_has_a_place_in_yaml),
    };
    clear_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
