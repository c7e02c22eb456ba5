/* Tests of transactions in progress: what is replayed is what was not rolled back, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "source/streamed.h"

static int set_up(void **state)
{
    struct err err = {0};
    struct spill_options options = {.dir = "/tmp"};
    struct streamed *streamed = NULL;
    if (!streamed_open(&options, &streamed, &err))
        return -1;
    *state = streamed;
    return 0;
}

static int tear_down(void **state)
{
    struct streamed *streamed = *state;
    streamed_free(&streamed);
    return 0;
}

/* A message of (sub)transaction xid that says number. */
static void add(struct streamed *streamed, uint32_t xid, uint32_t number)
{
    struct err err = {0};
    AUTO(buf_release) struct buf message = BUF_INIT;
    buf_putc(&message, 'I');
    buf_put_u32(&message, xid);
    buf_put_u32(&message, number);
    assert_true(streamed_add(streamed, message.data, message.len, &err));
    assert_true(streamed_settle(streamed, &err));
}

static void start(struct streamed *streamed, uint32_t xid, bool is_first)
{
    struct err err = {0};
    assert_true(streamed_start(streamed, xid, is_first, &err));
}

/* One block of one message. */
static void block(struct streamed *streamed, uint32_t xid, bool is_first, uint32_t subxid,
                  uint32_t number)
{
    start(streamed, xid, is_first);
    add(streamed, subxid, number);
    streamed_stop(streamed);
}

/* The numbers that the replayed transaction says, as text. */
static char *replayed(struct streamed *streamed, uint32_t xid)
{
    struct err err = {0};
    struct buf numbers = BUF_INIT;
    const char *data = "";
    size_t len = 0;
    assert_true(streamed_replay(streamed, xid, &err));
    while (data) {
        assert_true(streamed_next(streamed, &data, &len, &err));
        if (data && len > 0)
            buf_fmt(&numbers, "%u ", (unsigned char)data[8]);
    }
    return buf_take(&numbers);
}

static void expect(struct streamed *streamed, uint32_t xid, const char *numbers)
{
    AUTO(str_free) char *got = replayed(streamed, xid);
    assert_string_equal(got, numbers);
}

static void interleaved_transactions_come_apart(void **state)
{
    struct streamed *streamed = *state;
    block(streamed, 10, true, 10, 1);
    block(streamed, 20, true, 20, 2);
    block(streamed, 10, false, 11, 3);
    block(streamed, 20, false, 20, 4);
    expect(streamed, 20, "2 4 ");
    expect(streamed, 10, "1 3 ");
}

static void a_subtransaction_that_was_rolled_back_is_left_out(void **state)
{
    struct streamed *streamed = *state;
    block(streamed, 10, true, 10, 1);
    block(streamed, 10, false, 11, 2);
    block(streamed, 10, false, 12, 3);
    streamed_abort(streamed, 10, 12);
    streamed_abort(streamed, 10, 11);
    streamed_abort(streamed, 10, 13); /* nothing of it came */
    block(streamed, 10, false, 14, 4);
    block(streamed, 10, false, 10, 5);
    expect(streamed, 10, "1 4 5 ");
}

static void ids_far_apart_are_told_apart(void **state)
{
    struct streamed *streamed = *state;
    block(streamed, 4294967290u, true, 4294967290u, 1);
    block(streamed, 4294967290u, false, 3, 2);
    block(streamed, 4294967290u, false, 259, 3);
    block(streamed, 4294967290u, false, 67, 4);
    streamed_abort(streamed, 4294967290u, 3);
    expect(streamed, 4294967290u, "1 3 4 ");
}

static void the_same_id_in_another_transaction_is_not_rolled_back(void **state)
{
    struct streamed *streamed = *state;
    block(streamed, 10, true, 15, 1);
    block(streamed, 20, true, 15, 2);
    streamed_abort(streamed, 10, 15);
    expect(streamed, 20, "2 ");
    expect(streamed, 10, "");
}

static void what_was_rolled_back_whole_is_gone(void **state)
{
    struct streamed *streamed = *state;
    struct err err = {0};
    block(streamed, 10, true, 10, 1);
    block(streamed, 20, true, 20, 2);
    streamed_abort(streamed, 10, 10);
    assert_false(streamed_replay(streamed, 10, &err));
    assert_int_equal(err.kind, ERR_FATAL);
    expect(streamed, 20, "2 ");
    streamed_abort(streamed, 30, 30);
    block(streamed, 10, true, 10, 3); /* its id comes again after four billion others */
    expect(streamed, 10, "3 ");
}

static void hundreds_of_thousands_of_savepoints_take_no_time(void **state)
{
    struct streamed *streamed = *state;
    enum { COUNT = 300000 };
    start(streamed, 1, true);
    for (uint32_t i = 0; i < COUNT; i++)
        add(streamed, 2 + i, i % 251);
    streamed_stop(streamed);
    for (uint32_t i = 0; i < COUNT; i++)
        if (i % 1000 != 999)
            streamed_abort(streamed, 1, 2 + i);
    AUTO(str_free) char *numbers = replayed(streamed, 1);
    size_t count = 0;
    for (const char *at = numbers; *at; at++)
        count += *at == ' ';
    assert_int_equal(count, COUNT / 1000);
}

static void a_transaction_without_its_beginning_is_an_error(void **state)
{
    struct streamed *streamed = *state;
    struct err err = {0};
    assert_false(streamed_start(streamed, 10, false, &err));
    assert_int_equal(err.kind, ERR_FATAL);
    block(streamed, 10, true, 10, 1);
    assert_false(streamed_start(streamed, 10, true, &err));
    assert_int_equal(err.kind, ERR_FATAL);
}

static void what_cannot_stand_in_a_block_is_an_error(void **state)
{
    struct streamed *streamed = *state;
    struct err err = {0};
    start(streamed, 10, true);
    assert_false(streamed_add(streamed, "", 0, &err));
    assert_false(streamed_add(streamed, "I\0\0\0", 4, &err));
    assert_false(streamed_add(streamed, "\0\0\0\0\0", 5, &err));
    assert_false(streamed_add(streamed, "B\0\0\0\0\0\0\0\0", 9, &err));
    assert_int_equal(err.kind, ERR_FATAL);
    assert_true(streamed_add(streamed, "O\0\0\0\0\0\0\0\0x", 11, &err)); /* an origin: not kept */
    streamed_stop(streamed);
    expect(streamed, 10, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(interleaved_transactions_come_apart),
        TEST(a_subtransaction_that_was_rolled_back_is_left_out),
        TEST(ids_far_apart_are_told_apart),
        TEST(the_same_id_in_another_transaction_is_not_rolled_back),
        TEST(what_was_rolled_back_whole_is_gone),
        TEST(hundreds_of_thousands_of_savepoints_take_no_time),
        TEST(a_transaction_without_its_beginning_is_an_error),
        TEST(what_cannot_stand_in_a_block_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
