/* Tests of the settings: conversions, precedence, files, mistakes, output without passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "conf/env_file.h"
#include "conf/quantity.h"
#include "conf/redact.h"
#include "conf/setting.h"
#include "conf/settings.h"
#include "conf/suggest.h"
#include "settings_reader.h"

#define SOURCE "--source=postgres://u@h/a"
#define TARGET "--target=postgres://u@h/b"

/* Reads one line of arguments, split at blanks; "run" stands for any command's name. */
static bool read_problems(struct settings *s, unsigned command, const char *line,
                          struct strv *problems)
{
    AUTO(strv_release) struct strv args = STRV_INIT;
    strv_add(&args, "run");
    while (*line) {
        size_t len = strcspn(line, " ");
        strv_take(&args, str_dup_n(line, len));
        line += len + (line[len] == ' ');
    }
    return settings_read(s, command, (int)args.count, args.items, problems);
}

/* The same with all mistakes in one text. */
static bool read_line(struct settings *s, unsigned command, const char *line, struct err *err)
{
    AUTO(strv_release) struct strv problems = STRV_INIT;
    bool is_read = read_problems(s, command, line, &problems);
    AUTO(str_free) char *text = strv_join(&problems, "; ");
    return is_read || err_set(err, ERR_CONFIG, "%s", text);
}

static void expect_error(unsigned command, const char *line, const char *text)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    if (read_line(&s, command, line, &err))
        fail_msg("%s was taken", line);
    assert_int_equal(err.kind, ERR_CONFIG);
    if (!strstr(err.text, text))
        fail_msg("%s: \"%s\" lacks \"%s\"", line, err.text, text);
}

static void close_file(FILE **file)
{
    (void)fclose(*file);
}

static char *print(const struct settings *s, unsigned command, bool as_json)
{
    char *text = NULL;
    size_t len = 0;
    {
        AUTO(close_file) FILE *out = open_memstream(&text, &len);
        settings_print(s, command, as_json, out);
    }
    return text;
}

static char *help(unsigned command)
{
    char *text = NULL;
    size_t len = 0;
    {
        AUTO(close_file) FILE *out = open_memstream(&text, &len);
        settings_help(command, out);
    }
    return text;
}

static void bytes_are_binary_multiples(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{"0", 0},
                 {"512", 512},
                 {"512B", 512},
                 {"64kB", 65536},
                 {"64KB", 65536},
                 {"64KiB", 65536},
                 {"64k", 65536},
                 {"512MB", 536870912},
                 {"512MiB", 536870912},
                 {"512 MB ", 536870912},
                 {"2G", 2147483648},
                 {"1TiB", 1099511627776}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t bytes = -1;
        assert_true(bytes_parse(cases[i].text, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
    static const char *const wrong[] = {"",
                                        "MB",
                                        "-1",
                                        "1.5GB",
                                        "x",
                                        "5 m iB",
                                        "5 apples",
                                        "9223372036854775807k",
                                        "99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        int64_t bytes;
        if (bytes_parse(wrong[i], &bytes))
            fail_msg("%s was taken", wrong[i]);
    }
}

static void durations_need_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"0", 0},        {"250ms", 250},   {"5s", 5000},   {"2min", 120000},
                 {"1h", 3600000}, {"1d", 86400000}, {"10 s", 10000}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = -1;
        assert_true(duration_parse(cases[i].text, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const wrong[] = {"", "5", "5m", "s", "-5s", "5sec", "1h30min"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        int64_t ms;
        if (duration_parse(wrong[i], &ms))
            fail_msg("%s was taken", wrong[i]);
    }
}

static void quantities_are_printed_short_and_exact(void **state)
{
    static const int64_t values[] = {0,      1,       999,       1024,      1500,         90000,
                                     120000, 3600000, 134217728, 134217729, 1099511627776};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        int64_t back;
        AUTO(str_free) char *bytes = bytes_text(values[i]);
        AUTO(str_free) char *ms = duration_text(values[i]);
        assert_true(bytes_parse(bytes, &back));
        assert_int_equal(back, values[i]);
        assert_true(duration_parse(ms, &back));
        assert_int_equal(back, values[i]);
    }
    AUTO(str_free) char *bytes = bytes_text(134217728);
    AUTO(str_free) char *ms = duration_text(90000);
    assert_string_equal(bytes, "128MiB");
    assert_string_equal(ms, "90s");
}

static void passwords_are_hidden_in_every_form(void **state)
{
    static const struct {
        const char *url;
        const char *shown;
    } cases[] = {
        {"postgres://u:SECRET@h:5432/db", "postgres://u:***@h:5432/db"},
        {"postgresql://u:SECRET@h/db?sslmode=require", "postgresql://u:***@h/db?sslmode=require"},
        {"postgres://u@h/db", "postgres://u@h/db"},
        {"postgres://h:5432/db", "postgres://h:5432/db"},
        {"postgres:///db", "postgres:///db"},
        {"postgres://u:SEC@RET@h/db", "postgres://u:***@h/db"},
        {"postgres://u:SEC/RET@h/db", "postgres://u:***@h/db"},
        {"postgres://u:SEC:RET@[::1]:5432/db", "postgres://u:***@[::1]:5432/db"},
        {"postgres://u:SEC?RET@h/db", "postgres://u:***@***"},
        {"postgres://h/db?user=u&password=SECRET", "postgres://h/db?user=u&password=***"},
        {"postgres://h/db?password=SECRET&user=u", "postgres://h/db?password=***&user=u"},
        {"postgres://h/db?PassWord=SECRET", "postgres://h/db?PassWord=***"},
        {"postgres://h/db?p%61ssword=SECRET", "postgres://h/db?p%61ssword=***"},
        {"postgres://h/db?password=SEC&RET", "postgres://h/db?password=***&***"},
        {"postgres://h:5432/db?password=SEC@RET", "postgres://h:***@***"},
        {"postgres://h/db?password=SEC&RET=x&user=u", "postgres://h/db?password=***&***&user=u"},
        {"postgres://h/db?password=SEC:@RET", "postgres://h/db?password=***"},
        {"postgres://h/db?sslpassword=SECRET&sslkey=k", "postgres://h/db?sslpassword=***&sslkey=k"},
        {"host=h password=SECRET dbname=d", "host=h password=*** dbname=d"},
        {"host=h password = SECRET dbname=d", "host=h password=*** dbname=d"},
        {"password='SEC RET' host=h", "password=*** host=h"},
        {"password='SEC\\'RET' host=h", "password=*** host=h"},
        {"password=SEC\\ RET host=h", "password=*** host=h"},
        {"host='a b' PASSWORD='SECRET", "host='a b' PASSWORD=***"},
        {"host=h SECRET", "host=h ***"},
        {"SECRET", "***"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(str_free) char *shown = redact_url(cases[i].url);
        assert_string_equal(shown, cases[i].shown);
        assert_null(strstr(shown, "SEC"));
        assert_null(strstr(shown, "RET"));
    }
}

static void words_are_measured_with_swaps(void **state)
{
    assert_int_equal(word_distance("copiers", "copiers"), 0);
    assert_int_equal(word_distance("copires", "copiers"), 1);
    assert_int_equal(word_distance("copier", "copiers"), 1);
    assert_int_equal(word_distance("", "abc"), 3);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
}

static void env_file_reads_every_form(void **state)
{
    static const char text[] = "\xef\xbb\xbf# a comment\n"
                               "\n"
                               "   \t\n"
                               "A=1\r\n"
                               "export B = two words  # comment\n"
                               "C=postgres://u:p@h/d?a=b&c=d#e\n"
                               "D='single # $x \\n \"q\"'   # comment\n"
                               "E=\"double \\\"q\\\" \\\\ \\n\\$x\\y\"\n"
                               "F=\n"
                               "export\tG=7\n"
                               "exported=8\n"
                               "H='it'";
    static const struct {
        const char *name;
        const char *value;
        size_t line;
        size_t column;
    } expected[] = {
        {"A", "1", 4, 3},
        {"B", "two words", 5, 12},
        {"C", "postgres://u:p@h/d?a=b&c=d#e", 6, 3},
        {"D", "single # $x \\n \"q\"", 7, 3},
        {"E", "double \"q\" \\ \n$x\\y", 8, 3},
        {"F", "", 9, 3},
        {"G", "7", 10, 10},
        {"exported", "8", 11, 10},
        {"H", "it", 12, 3},
    };
    AUTO(env_file_release) struct env_file file = ENV_FILE_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    env_file_parse("f", text, &file, &problems);
    assert_int_equal(problems.count, 0);
    assert_int_equal(file.count, COUNT_OF(expected));
    for (size_t i = 0; i < file.count; i++) {
        assert_string_equal(file.items[i].name, expected[i].name);
        assert_string_equal(file.items[i].value, expected[i].value);
        assert_int_equal(file.items[i].line, expected[i].line);
        assert_int_equal(file.items[i].value_column, expected[i].column);
    }
}

static void env_file_names_the_place_of_each_mistake(void **state)
{
    AUTO(env_file_release) struct env_file file = ENV_FILE_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    env_file_parse("f", "A='SECRET\n B SECRET\n=SECRET\nC=\"SECRET\" SECRET\nD-E=1\nOK=1\n", &file,
                   &problems);
    static const char *const expected[] = {
        "f:1:3: the quote is not closed on this line",
        "f:2:4: expected NAME=value",
        "f:3:1: expected NAME=value",
        "f:4:12: there is text behind the closing quote",
        "f:5:2: expected NAME=value",
    };
    assert_int_equal(problems.count, COUNT_OF(expected));
    for (size_t i = 0; i < problems.count; i++)
        assert_string_equal(problems.items[i], expected[i]);
    assert_int_equal(file.count, 1);
}

static void defaults_are_those_of_the_table(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_true(read_line(&s, COMMAND_CONFIG, "", &err));
    assert_int_equal(s.copiers, 4);
    assert_int_equal(s.part_size, 128 * 1024 * 1024);
    assert_int_equal(s.group_max_changes, 10000);
    assert_int_equal(s.group_max_time_ms, 500);
    assert_int_equal(s.idle_position_interval_ms, 10000);
    assert_int_equal(s.reconnect_timeout_ms, 0);
    assert_int_equal(s.tcp_user_timeout_ms, 30000);
    assert_int_equal(s.max_slot_wal, 0);
    assert_int_equal(s.max_slot_wal_action, SLOT_WAL_STOP);
    assert_int_equal(s.log_level, LOG_INFO);
    assert_int_equal(s.progress, PROGRESS_AUTO);
    assert_int_equal(s.demo_scale, 1);
    assert_int_equal(s.tables.count, 0);
    assert_string_equal(s.slot, "");
    assert_false(s.json);
}

static void flags_win_over_environment_over_file(void **state)
{
    AUTO(remove_file)
    char *path = write_text("TRUNKLINE_COPIERS=2\nTRUNKLINE_PART_SIZE=1MB\n"
                            "export TRUNKLINE_SLOT='from_file'\nOTHER_PROGRAM=x\n",
                            "");
    AUTO(str_free) char *line = str_fmt("-c %s --copiers 9 " SOURCE " " TARGET, path);
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    (void)setenv("TRUNKLINE_COPIERS", "8", 1);
    (void)setenv("TRUNKLINE_PART_SIZE", "2MB", 1);
    bool is_read = read_line(&s, COMMAND_RUN, line, &err);
    (void)unsetenv("TRUNKLINE_COPIERS");
    (void)unsetenv("TRUNKLINE_PART_SIZE");
    assert_true(is_read);
    assert_int_equal(s.copiers, 9);
    assert_int_equal(s.part_size, 2 * 1024 * 1024);
    assert_string_equal(s.slot, "from_file");

    AUTO(str_free) char *text = print(&s, COMMAND_RUN, false);
    AUTO(str_free) char *from_file = str_fmt("# %s:3 TRUNKLINE_SLOT\n", path);
    assert_non_null(strstr(text, "copiers = 9  "));
    assert_non_null(strstr(text, "# flag --copiers\n"));
    assert_non_null(strstr(text, "part_size = 2MiB  "));
    assert_non_null(strstr(text, "# environment TRUNKLINE_PART_SIZE\n"));
    assert_non_null(strstr(text, from_file));
    assert_non_null(strstr(text, "# default\n"));
}

static void all_mistakes_of_a_file_are_reported_at_once(void **state)
{
    AUTO(remove_file)
    char *path = write_text("TRUNKLINE_COPIRES=2\n"
                            "  TRUNKLINE_COPIERS=100\n"
                            "TRUNKLINE_XYZZY=1\n"
                            "TRUNKLIN_SLOT=a\n"
                            "TRUNKLINE_QUEUE_BYTES=lots\n"
                            "TRUNKLINE_SLOT=a\nTRUNKLINE_SLOT=b\n"
                            "TRUNKLINE_SOURCE=mysql://u:SECRET@h/d\n"
                            "TRUNKLINE_TABLES=a.b.c\n",
                            "");
    static const char *const expected[] = {
        ":1:1: unknown setting TRUNKLINE_COPIRES; did you mean TRUNKLINE_COPIERS?",
        ":2:21: TRUNKLINE_COPIERS: 100 is out of range (1 to 64)",
        ":3:1: unknown setting TRUNKLINE_XYZZY;",
        ":4:1: unknown setting TRUNKLIN_SLOT; did you mean TRUNKLINE_SLOT?",
        ":5:23: TRUNKLINE_QUEUE_BYTES: \"lots\" is not a size",
        ":7:16: TRUNKLINE_SLOT and ",
        ":8:18: TRUNKLINE_SOURCE: not a connection URL",
        ":9:18: TRUNKLINE_TABLES: \"a.b.c\" is not a table pattern",
    };
    AUTO(str_free) char *line = str_fmt("--config=%s", path);
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_false(read_line(&s, COMMAND_CONFIG, line, &err));
    assert_int_equal(err_exit_code(&err), 2);
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        if (!strstr(err.text, expected[i]))
            fail_msg("\"%s\" lacks \"%s\"", err.text, expected[i]);
    assert_null(strstr(err.text, "SECRET"));
}

static void each_mistake_is_a_text_of_its_own(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    for (int i = 0; i < 50; i++)
        buf_fmt(&text, "TRUNKLINE_UNKNOWN_%d=1\n", i);
    AUTO(remove_file) char *path = write_text(buf_text(&text), "");
    AUTO(str_free) char *line = str_fmt("-c%s", path);
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    assert_false(read_problems(&s, COMMAND_CONFIG, line, &problems));
    assert_int_equal(problems.count, 50);
    for (size_t i = 0; i < problems.count; i++) {
        AUTO(str_free)
        char *expected = str_fmt("%s:%zu:1: unknown setting TRUNKLINE_UNKNOWN_%zu", path, i + 1, i);
        assert_string_equal(problems.items[i], expected);
    }
}

static void mistakes_are_named_with_a_remedy(void **state)
{
    expect_error(COMMAND_RUN, "", "source is not set: give --source or TRUNKLINE_SOURCE");
    expect_error(COMMAND_RUN, "", "target is not set");
    expect_error(COMMAND_RUN, SOURCE " " TARGET " --copires=3", "did you mean --copiers?");
    expect_error(COMMAND_RUN, "--copiers", "--copiers needs a value");
    expect_error(COMMAND_RUN, "--copiers=", "--copiers: \"\" is not a number");
    expect_error(COMMAND_RUN, "--copiers=0", "0 is out of range (1 to 64)");
    expect_error(COMMAND_RUN, "--copiers=65", "out of range");
    expect_error(COMMAND_RUN, "--part-size=1kB", "1kB is out of range (8KiB to 1TiB)");
    expect_error(COMMAND_RUN, "--slot=My-Slot", "\"My-Slot\" is not a slot name");
    expect_error(COMMAND_RUN, "--until=tomorrow", "is neither now nor an LSN");
    expect_error(COMMAND_RUN, "--listen=9090", "is not an address");
    expect_error(COMMAND_RUN, "--listen=:70000", "is not an address");
    expect_error(COMMAND_RUN, "--progress=maybe", "is not one of: auto, on, off");
    expect_error(COMMAND_RUN, "--tables-without-identity=skip", "is not one of: error");
    expect_error(COMMAND_RUN, "--group-max-time=5", "is not a duration");
    expect_error(COMMAND_RUN, "-x", "unknown option -x");
    expect_error(COMMAND_RUN, "--frobnicate", "unknown option --frobnicate");
    expect_error(COMMAND_RUN, "--scale=2", "--scale is not an option of run");
    expect_error(COMMAND_RUN, "extra", "unexpected argument");
    expect_error(COMMAND_VERIFY, SOURCE " " TARGET " --until=now", "is not an option of");
    expect_error(COMMAND_VERIFY, SOURCE " " TARGET " --json=perhaps", "neither true nor false");
    expect_error(COMMAND_RUN, "-c /no/such/file", "could not read /no/such/file: No such file");
    expect_error(COMMAND_RUN, "-c /tmp", "could not read /tmp: Is a directory");
}

static void a_refused_url_is_not_called_missing(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_false(read_line(&s, COMMAND_TEAR_DOWN, "--source=nonsense", &err));
    assert_null(strstr(err.text, "is not set"));
    assert_null(strstr(err.text, "nonsense"));
}

static void settings_of_other_commands_stay_out(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    (void)setenv("TRUNKLINE_COPIERS", "nonsense", 1);
    (void)setenv("TRUNKLINE_JSON", "nonsense", 1);
    bool is_read = read_line(&s, COMMAND_VERIFY, SOURCE " " TARGET " --json", &err);
    (void)unsetenv("TRUNKLINE_COPIERS");
    (void)unsetenv("TRUNKLINE_JSON");
    assert_true(is_read);
    assert_true(s.json);
    AUTO(str_free) char *text = print(&s, COMMAND_VERIFY, false);
    assert_null(strstr(text, "copiers"));
}

static void lists_given_twice_are_one_list(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_true(read_line(&s, COMMAND_RUN,
                          SOURCE " " TARGET " --tables a,s.* --tables=\"B\" --copiers 2 "
                                 "--copiers 3",
                          &err));
    assert_int_equal(s.tables.count, 3);
    assert_string_equal(s.tables.items[1], "s.*");
    assert_string_equal(s.tables.items[2], "\"B\"");
    assert_int_equal(s.copiers, 3);
}

static void booleans_are_flags_with_or_without_a_value(void **state)
{
    static const struct {
        const char *line;
        bool is_set;
    } cases[] = {{"--kill", true}, {"--kill=true", true}, {"--kill=off", false}, {"", false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(settings_release) struct settings s = SETTINGS_INIT;
        struct err err = {0};
        assert_true(read_line(&s, COMMAND_DEMO, cases[i].line, &err));
        assert_int_equal(s.demo_kill, cases[i].is_set);
    }
}

static void help_is_not_held_up_by_mistakes(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_true(read_line(&s, COMMAND_RUN, "--copiers=900 --help", &err));
    assert_true(s.wants_help);
    AUTO(settings_release) struct settings short_form = SETTINGS_INIT;
    assert_true(read_line(&short_form, COMMAND_RUN, "-h", &err));
    assert_true(short_form.wants_help);
}

static void passwords_vanish_from_the_arguments(void **state)
{
    AUTO(strv_release) struct strv args = STRV_INIT;
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    AUTO(strv_release) struct strv problems = STRV_INIT;
    strv_add(&args, "run");
    strv_add(&args, "--source");
    strv_add(&args, "postgres://u:SECRET@h/a");
    strv_add(&args, "--target=host=h password=S dbname=b");
    assert_true(settings_read(&s, COMMAND_RUN, (int)args.count, args.items, &problems));
    assert_string_equal(s.source, "postgres://u:SECRET@h/a");
    assert_string_equal(s.target, "host=h password=S dbname=b");
    assert_string_equal(args.items[2], "postgres://u:***@h/a");
    assert_string_equal(args.items[3], "--target=**************************");
}

static void passwords_are_not_printed(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    (void)setenv("TRUNKLINE_TARGET", "host=h password='SECRET' dbname=b", 1);
    bool is_read =
        read_line(&s, COMMAND_RUN, "--source postgres://u:SECRET@h/a?sslpassword=SECRET", &err);
    (void)unsetenv("TRUNKLINE_TARGET");
    assert_true(is_read);
    AUTO(str_free) char *text = print(&s, COMMAND_RUN, false);
    AUTO(str_free) char *json = print(&s, COMMAND_RUN, true);
    assert_null(strstr(text, "SECRET"));
    assert_null(strstr(json, "SECRET"));
    assert_non_null(strstr(text, "source = postgres://u:***@h/a?sslpassword=***"));
    assert_non_null(strstr(json, "password=*** dbname=b"));
    expect_error(COMMAND_RUN, "postgres://u:SECRET@h/a", "\"postgres://u:***@h/a\"");
}

static void json_has_a_version_and_typed_values(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_true(read_line(&s, COMMAND_CONFIG, "--tables a,b --copiers 7", &err));
    AUTO(str_free) char *text = print(&s, COMMAND_CONFIG, true);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    const json_t *all = json_object_get(root, "settings");
    const json_t *copiers = json_object_get(all, "copiers");
    const json_t *tables = json_object_get(all, "tables");
    const json_t *part_size = json_object_get(all, "part_size");
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 1);
    assert_int_equal(json_integer_value(json_object_get(copiers, "value")), 7);
    assert_string_equal(json_string_value(json_object_get(copiers, "origin")), "flag --copiers");
    assert_int_equal(json_array_size(json_object_get(tables, "value")), 2);
    assert_string_equal(json_string_value(json_object_get(part_size, "value")), "128MiB");
    assert_null(json_object_get(all, "json"));
    json_decref(root);
}

static void what_is_printed_can_be_read_again(void **state)
{
    AUTO(settings_release) struct settings s = SETTINGS_INIT;
    struct err err = {0};
    assert_true(read_line(&s, COMMAND_CONFIG, "", &err));
    for (size_t i = 0; i < settings_count; i++) {
        AUTO(str_free) char *before = setting_text(&settings_table[i], &s);
        assert_true(setting_parse(&settings_table[i], before, &s, &err));
        AUTO(str_free) char *after = setting_text(&settings_table[i], &s);
        assert_string_equal(before, after);
        assert_string_equal(setting_origin(&settings_table[i], &s), "default");
    }
}

static void help_names_every_option_of_the_command(void **state)
{
    static const unsigned commands[] = {COMMAND_RUN, COMMAND_TEAR_DOWN, COMMAND_VERIFY,
                                        COMMAND_DEMO, COMMAND_CONFIG};
    for (size_t c = 0; c < COUNT_OF(commands); c++) {
        AUTO(str_free) char *text = help(commands[c]);
        for (size_t i = 0; i < settings_count; i++) {
            AUTO(str_free) char *flag = setting_flag(&settings_table[i]);
            AUTO(str_free) char *spaced = str_fmt("  --%s ", flag);
            bool is_named = strstr(text, spaced) != NULL;
            bool is_accepted = (settings_table[i].commands & commands[c]) != 0;
            if (is_named != is_accepted)
                fail_msg("--%s of command %u", flag, commands[c]);
        }
        assert_non_null(strstr(text, "--config FILE"));
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 100);
    }
}

static void commands_end_with_2_on_a_mistake(void **state)
{
    char *print_it[] = {(char[]){"config"}, (char[]){"print"}, (char[]){"--copiers=0"}, NULL};
    char *do_nothing[] = {(char[]){"config"}, NULL};
    char *unknown[] = {(char[]){"help"}, (char[]){"frobnicate"}, NULL};
    assert_int_equal(cmd_config("trunkline", 3, print_it), 2);
    assert_int_equal(cmd_config("trunkline", 1, do_nothing), 2);
    assert_int_equal(cmd_help("trunkline", 2, unknown), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_binary_multiples),
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(quantities_are_printed_short_and_exact),
        cmocka_unit_test(passwords_are_hidden_in_every_form),
        cmocka_unit_test(words_are_measured_with_swaps),
        cmocka_unit_test(env_file_reads_every_form),
        cmocka_unit_test(env_file_names_the_place_of_each_mistake),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(flags_win_over_environment_over_file),
        cmocka_unit_test(all_mistakes_of_a_file_are_reported_at_once),
        cmocka_unit_test(each_mistake_is_a_text_of_its_own),
        cmocka_unit_test(mistakes_are_named_with_a_remedy),
        cmocka_unit_test(a_refused_url_is_not_called_missing),
        cmocka_unit_test(settings_of_other_commands_stay_out),
        cmocka_unit_test(lists_given_twice_are_one_list),
        cmocka_unit_test(booleans_are_flags_with_or_without_a_value),
        cmocka_unit_test(help_is_not_held_up_by_mistakes),
        cmocka_unit_test(passwords_vanish_from_the_arguments),
        cmocka_unit_test(passwords_are_not_printed),
        cmocka_unit_test(json_has_a_version_and_typed_values),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(help_names_every_option_of_the_command),
        cmocka_unit_test(commands_end_with_2_on_a_mistake),
    };
    clear_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
