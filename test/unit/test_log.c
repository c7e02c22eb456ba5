/* The log's lines: forms, levels, escaping. What goes to stderr is read back from a file. */
#include "base/log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static FILE *file;
static int real_stderr;

static int capture(void **state)
{
    file = tmpfile();
    real_stderr = dup(STDERR_FILENO);
    (void)dup2(fileno(file), STDERR_FILENO);
    return 0;
}

static int release(void **state)
{
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    (void)fclose(file);
    return 0;
}

/* All that was logged since the last call. Lives until the next one. */
static const char *logged(void)
{
    static char text[4096];
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)ftruncate(fileno(file), 0);
    (void)lseek(STDERR_FILENO, 0, SEEK_SET);
    return text;
}

/* The part of a line behind its time. */
static const char *behind_time(const char *line)
{
    const char *end = strchr(line, 'Z');
    assert_non_null(end);
    return end + 1;
}

static void logfmt_is_one_line_of_fields(void **state)
{
    log_setup(LOG_INFO, LOG_LOGFMT);
    log_info("say \"%s\"\nand more", "a\\b");
    const char *line = logged();
    assert_memory_equal(line, "time=2", 6);
    assert_string_equal(behind_time(line), " level=info thread=main msg=\"say \\\"a\\\\b\\\"\\nand"
                                           " more\"\n");
}

static void json_is_an_object_a_line(void **state)
{
    struct err err = {.kind = ERR_FATAL, .sqlstate = "23505", .text = "target: \"x\""};
    log_setup(LOG_INFO, LOG_JSON);
    log_err(LOG_ERROR, &err);
    json_t *line = json_loads(logged(), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(line, "msg")), err.text);
    assert_string_equal(json_string_value(json_object_get(line, "sqlstate")), "23505");
    assert_string_equal(json_string_value(json_object_get(line, "thread")), "main");
    json_decref(line);
}

static void console_has_level_message_and_fields_without_colours(void **state)
{
    struct err err = {.kind = ERR_RETRY, .sqlstate = "08006", .text = "source: lost"};
    log_setup(LOG_INFO, LOG_CONSOLE);
    log_info("one\ntwo");
    assert_string_equal(behind_time(logged()), " INF one\n    two thread=main\n");
    log_err(LOG_WARN, &err);
    assert_string_equal(behind_time(logged()), " WRN source: lost thread=main sqlstate=08006\n");
}

static void say_everything(void)
{
    struct err err = {.kind = ERR_FATAL, .text = "the end"};
    log_trace("t");
    log_debug("d");
    log_info("i");
    log_warn("w");
    log_error("e");
    log_err(LOG_ERROR, &err);
}

/* How many lines each level lets through; the error that ends the program passes at fatal. */
static void levels_are_bounds(void **state)
{
    static const int lines[] = {[LOG_TRACE] = 6, [LOG_DEBUG] = 5, [LOG_INFO] = 4, [LOG_WARN] = 3,
                                [LOG_ERROR] = 2, [LOG_FATAL] = 1, [LOG_PANIC] = 0};
    log_setup(LOG_INFO, LOG_LOGFMT);
    for (size_t level = 0; level < COUNT_OF(lines); level++) {
        int count = 0;
        log_set_level((enum log_level)level);
        say_everything();
        for (const char *c = logged(); *c; c++)
            count += *c == '\n';
        assert_int_equal(count, lines[level]);
        assert_int_equal(log_get_level(), level);
    }
}

static void level_names_are_those_of_the_setting(void **state)
{
    assert_string_equal(log_level_name(LOG_TRACE), "trace");
    assert_string_equal(log_level_name(LOG_PANIC), "panic");
    log_setup(LOG_WARN, LOG_LOGFMT);
    assert_false(log_shows(LOG_INFO));
    assert_true(log_shows(LOG_WARN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logfmt_is_one_line_of_fields, capture, release),
        cmocka_unit_test_setup_teardown(json_is_an_object_a_line, capture, release),
        cmocka_unit_test_setup_teardown(console_has_level_message_and_fields_without_colours,
                                        capture, release),
        cmocka_unit_test_setup_teardown(levels_are_bounds, capture, release),
        cmocka_unit_test(level_names_are_those_of_the_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
