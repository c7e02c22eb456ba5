/* Tests of src/base: the queue's bounds and shutdown, the arena, the buffer, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/queue.h"

static void queue_times_out_when_full(void **state)
{
    struct queue *q = queue_new(2, 1000);
    int item = 0;
    assert_int_equal(queue_push(q, &item, 1, 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &item, 1, 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &item, 1, 10), QUEUE_TIMEOUT);
    queue_free(&q, NULL);
}

static void queue_is_bounded_by_bytes(void **state)
{
    struct queue *q = queue_new(100, 10);
    int item = 0;
    assert_int_equal(queue_push(q, &item, 8, 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &item, 3, 0), QUEUE_TIMEOUT);
    assert_int_equal(queue_push(q, &item, 2, 0), QUEUE_OK);
    assert_int_equal(queue_bytes(q), 10);
    queue_free(&q, NULL);
}

static void queue_passes_one_oversized_item_when_empty(void **state)
{
    struct queue *q = queue_new(100, 10);
    int item = 0;
    assert_int_equal(queue_push(q, &item, 5000, 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &item, 1, 0), QUEUE_TIMEOUT);
    queue_free(&q, NULL);
}

static void queue_drains_after_close(void **state)
{
    struct queue *q = queue_new(4, 100);
    int item = 0;
    void *got = NULL;
    assert_int_equal(queue_push(q, &item, 1, 0), QUEUE_OK);
    queue_close(q);
    assert_int_equal(queue_push(q, &item, 1, 0), QUEUE_CLOSED);
    assert_int_equal(queue_pop(q, &got, 0), QUEUE_OK);
    assert_ptr_equal(got, &item);
    assert_int_equal(queue_pop(q, &got, -1), QUEUE_CLOSED);
    queue_free(&q, NULL);
}

static void *pop_three(void *arg)
{
    intptr_t sum = 0;
    void *item = NULL;
    while (queue_pop(arg, &item, -1) == QUEUE_OK)
        sum += (intptr_t)item;
    return (void *)sum;
}

static void queue_wakes_a_waiting_thread(void **state)
{
    struct queue *q = queue_new(1, 1);
    pthread_t thread;
    void *sum = NULL;
    assert_int_equal(pthread_create(&thread, NULL, pop_three, q), 0);
    for (intptr_t i = 1; i <= 3; i++)
        assert_int_equal(queue_push(q, (void *)i, 1, -1), QUEUE_OK);
    queue_close(q);
    (void)pthread_join(thread, &sum);
    assert_int_equal((intptr_t)sum, 6);
    queue_free(&q, NULL);
}

static void arena_keeps_everything_until_reset(void **state)
{
    struct arena *a = arena_new();
    char *first = arena_copy(a, "abc", 3);
    for (int i = 0; i < 100000; i++)
        assert_non_null(arena_alloc(a, 17));
    char *big = arena_alloc(a, 1 << 20);
    big[(1 << 20) - 1] = 'x';
    assert_string_equal(first, "abc");
    assert_true(arena_used(a) > (1 << 20));
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    arena_free(&a);
}

static void buf_writes_network_order(void **state)
{
    AUTO(buf_release) struct buf b = BUF_INIT;
    buf_put_u16(&b, 0x0102);
    buf_put_u32(&b, 0x03040506);
    buf_put_u64(&b, 0x0708090a0b0c0d0eULL);
    assert_int_equal(b.len, 14);
    for (int i = 0; i < 14; i++)
        assert_int_equal(b.data[i], i + 1);
}

static void err_wrap_puts_context_first(void **state)
{
    struct err err = {0};
    assert_false(err_set(&err, ERR_RETRY, "could not connect: %s", "refused"));
    assert_false(err_wrap(&err, "source"));
    assert_false(err_hint(&err, "start the server"));
    assert_string_equal(err.text, "source: could not connect: refused; hint: start the server");
    assert_int_equal(err.kind, ERR_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_times_out_when_full),
        cmocka_unit_test(queue_is_bounded_by_bytes),
        cmocka_unit_test(queue_passes_one_oversized_item_when_empty),
        cmocka_unit_test(queue_drains_after_close),
        cmocka_unit_test(queue_wakes_a_waiting_thread),
        cmocka_unit_test(arena_keeps_everything_until_reset),
        cmocka_unit_test(buf_writes_network_order),
        cmocka_unit_test(err_wrap_puts_context_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
