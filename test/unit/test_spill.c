/* Tests of spills: records come back as they were set aside, or with an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "source/spill.h"

enum { RECORDS = 60000, MANY = 4 * 1024 * 1024 };

struct place {
    char dir[32];
    struct metrics *metrics;
    struct spill_store *store;
};

static int set_up(void **state)
{
    struct err err = {0};
    struct place *place = mem_alloc(sizeof(*place));
    memcpy(place->dir, "/tmp/test-spill-XXXXXX", sizeof("/tmp/test-spill-XXXXXX"));
    if (!mkdtemp(place->dir))
        return -1;
    place->metrics = metrics_new();
    struct spill_options options = {.dir = place->dir, .metrics = place->metrics};
    *state = place;
    return spill_store_open(&options, &place->store, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    spill_store_free(&place->store);
    metrics_free(&place->metrics);
    int result = rmdir(place->dir); /* fails when a file was left */
    free(place);
    return result;
}

/* The open file in the store's directory; -1: there is none. */
static int open_file(const struct place *place)
{
    int found = -1;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[320], link[128] = "";
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, link, sizeof(link) - 1) > 0 &&
            strncmp(link, place->dir, strlen(place->dir)) == 0)
            found = (int)strtol(entry->d_name, NULL, 10);
    }
    (void)closedir(dir);
    return found;
}

static bool names_nothing(const struct place *place)
{
    int count = 0;
    DIR *dir = opendir(place->dir);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count == 2; /* . and .. */
}

/* A record's text is made from its number. */
static void put_number(struct spill *spill, int number)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "record %d of %s", number, number % 3 ? "many" : "x");
    spill_append(spill, text, (size_t)len);
}

static void expect_number(struct spill *spill, int number)
{
    struct err err = {0};
    const char *data = NULL;
    size_t len = 0;
    char text[64];
    int expected =
        snprintf(text, sizeof(text), "record %d of %s", number, number % 3 ? "many" : "x");
    assert_true(spill_next(spill, &data, &len, &err));
    assert_non_null(data);
    assert_int_equal(len, expected);
    assert_memory_equal(data, text, len);
}

static void expect_end(struct spill *spill)
{
    struct err err = {0};
    const char *data = "";
    size_t len = 1;
    assert_true(spill_next(spill, &data, &len, &err));
    assert_null(data);
    assert_int_equal(len, 0);
}

static void settle(struct place *place)
{
    struct err err = {0};
    assert_true(spill_store_settle(place->store, &err));
}

static void few_records_stay_in_memory(void **state)
{
    struct place *place = *state;
    AUTO(spill_free) struct spill *spill = spill_new(place->store, "it");
    for (int i = 0; i < 100; i++)
        put_number(spill, i);
    settle(place);
    assert_int_equal(open_file(place), -1);
    for (int i = 0; i < 100; i++)
        expect_number(spill, i);
    expect_end(spill);
    expect_end(spill);
}

static void many_records_go_through_a_file_that_has_no_name(void **state)
{
    struct place *place = *state;
    AUTO(spill_free) struct spill *spill = spill_new(place->store, "it");
    for (int i = 0; i < RECORDS; i++) {
        put_number(spill, i);
        settle(place);
    }
    assert_true(open_file(place) >= 0);
    assert_true(names_nothing(place));
    assert_true(metrics_get(place->metrics, METRIC_SPILLED_BYTES) > 1000 * 1000);
    for (int i = 0; i < RECORDS; i++)
        expect_number(spill, i);
    expect_end(spill);
}

static void records_may_be_put_between_reads(void **state)
{
    struct place *place = *state;
    AUTO(spill_free) struct spill *spill = spill_new(place->store, "it");
    int read = 0;
    for (int i = 0; i < RECORDS; i++) {
        put_number(spill, i);
        settle(place);
        if (i % 2)
            expect_number(spill, read++);
    }
    while (read < RECORDS)
        expect_number(spill, read++);
    expect_end(spill);
    put_number(spill, 7);
    expect_number(spill, 7);
    expect_end(spill);
}

static void records_of_any_size_come_back(void **state)
{
    struct place *place = *state;
    AUTO(spill_free) struct spill *spill = spill_new(place->store, "it");
    static const size_t sizes[] = {0, 1, 255 * 1024, 256 * 1024 - 4, 256 * 1024, 5000000, 3, 0};
    AUTO(str_free) char *bytes = mem_alloc(5000000);
    for (size_t i = 0; i < 5000000; i++)
        bytes[i] = (char)(i * i >> 7);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        spill_append(spill, bytes, sizes[i]);
        settle(place);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct err err = {0};
        const char *data = NULL;
        size_t len = 0;
        assert_true(spill_next(spill, &data, &len, &err));
        assert_non_null(data);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(data, bytes, len);
    }
    expect_end(spill);
}

static void the_largest_goes_to_its_file_first(void **state)
{
    struct place *place = *state;
    AUTO(spill_free) struct spill *small = spill_new(place->store, "the small one");
    AUTO(spill_free) struct spill *large = spill_new(place->store, "the large one");
    AUTO(str_free) char *bytes = mem_alloc(MANY);
    put_number(small, 1);
    spill_append(large, bytes, MANY);
    settle(place);
    assert_true(metrics_get(place->metrics, METRIC_SPILLED_BYTES) == MANY + 4);
    expect_number(small, 1);
    expect_end(small);
}

/* Sets one byte of the file to another value. */
static void damage(int fd, off_t at)
{
    char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ 0x55);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static struct spill *make_large(struct place *place)
{
    struct spill *spill = spill_new(place->store, "what is tested");
    for (int i = 0; i < RECORDS; i++) {
        put_number(spill, i);
        settle(place);
    }
    return spill;
}

/* Reads to the end or to an error, which names what the file is for. */
static bool reads_to_the_end(struct spill *spill, struct err *err)
{
    const char *data = "";
    size_t len = 0;
    while (data)
        if (!spill_next(spill, &data, &len, err)) {
            assert_int_equal(err->kind, ERR_FATAL);
            assert_non_null(strstr(err->text, "what is tested"));
            return false;
        }
    return true;
}

static void a_damaged_byte_is_an_error_wherever_it_is(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    AUTO(spill_free) struct spill *whole = make_large(place);
    struct stat stat;
    assert_int_equal(fstat(open_file(place), &stat), 0);
    assert_true(reads_to_the_end(whole, &err));
    spill_free(&whole);
    for (off_t at = 0; at < stat.st_size; at += at < 64 ? 1 : 997) {
        AUTO(spill_free) struct spill *spill = make_large(place);
        damage(open_file(place), at);
        assert_false(reads_to_the_end(spill, &err));
    }
}

static void a_file_cut_short_is_an_error(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    for (int cut = 1; cut < 300; cut += 37) {
        AUTO(spill_free) struct spill *spill = make_large(place);
        struct stat stat;
        int fd = open_file(place);
        assert_int_equal(fstat(fd, &stat), 0);
        assert_int_equal(ftruncate(fd, stat.st_size - cut), 0);
        assert_false(reads_to_the_end(spill, &err));
    }
}

static void a_directory_that_is_not_there_is_refused_at_the_start(void **state)
{
    struct err err = {0};
    struct spill_store *store = NULL;
    struct spill_options options = {.dir = "/nonexistent/directory"};
    assert_false(spill_store_open(&options, &store, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.text, "spill_dir"));
}

#ifdef FAULT_POINTS
static void a_full_disk_loses_nothing_and_is_tried_again(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    AUTO(spill_free) struct spill *spill = spill_new(place->store, "it");
    for (int i = 0; i < RECORDS; i++)
        put_number(spill, i);
    (void)setenv("TRUNKLINE_FAULT", "spill.write=full@*", 1);
    assert_false(spill_store_settle(place->store, &err));
    assert_true(spill_is_full(&err));
    assert_false(spill_store_settle(place->store, &err));
    (void)unsetenv("TRUNKLINE_FAULT");
    settle(place);
    assert_true(open_file(place) >= 0);
    for (int i = 0; i < RECORDS; i++)
        expect_number(spill, i);
    expect_end(spill);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(few_records_stay_in_memory),
        TEST(many_records_go_through_a_file_that_has_no_name),
        TEST(records_may_be_put_between_reads),
        TEST(records_of_any_size_come_back),
        TEST(the_largest_goes_to_its_file_first),
        TEST(a_damaged_byte_is_an_error_wherever_it_is),
        TEST(a_file_cut_short_is_an_error),
        TEST(a_directory_that_is_not_there_is_refused_at_the_start),
#ifdef FAULT_POINTS
        TEST(a_full_disk_loses_nothing_and_is_tried_again),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
