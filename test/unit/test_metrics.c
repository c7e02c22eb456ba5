/* Tests of the counters, their text for Prometheus, and the HTTP endpoint over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "metrics/http.h"
#include "metrics/metrics.h"

enum { ADDERS = 4, ADDS = 50000 };

static void *add_main(void *arg)
{
    struct metrics *metrics = arg;
    for (uint64_t i = 0; i < ADDS; i++) {
        metrics_add(metrics, METRIC_COPIED_ROWS, 2);
        metrics_raise(metrics, METRIC_APPLIED_LSN, i);
    }
    return NULL;
}

static void metrics_count_across_threads(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    pthread_t threads[ADDERS];
    for (int i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_main, metrics), 0);
    for (int i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metrics_get(metrics, METRIC_COPIED_ROWS), 2 * ADDERS * ADDS);
    assert_int_equal(metrics_get(metrics, METRIC_APPLIED_LSN), ADDS - 1);
}

static void metrics_raise_never_lowers(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    metrics_raise(metrics, METRIC_DURABLE_LSN, 10);
    metrics_raise(metrics, METRIC_DURABLE_LSN, 9);
    assert_int_equal(metrics_get(metrics, METRIC_DURABLE_LSN), 10);
}

static void metrics_may_be_absent(void **state)
{
    metrics_add(NULL, METRIC_GROUPS, 1);
    metrics_set(NULL, METRIC_GROUPS, 1);
    metrics_raise(NULL, METRIC_GROUPS, 1);
    assert_int_equal(metrics_get(NULL, METRIC_GROUPS), 0);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *c = strstr(text, word); c; c = strstr(c + 1, word))
        count++;
    return count;
}

static void metrics_render_is_prometheus_text(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    AUTO(buf_release) struct buf out = BUF_INIT;
    metrics_add(metrics, METRIC_COPIED_ROWS, 7);
    metrics_add(metrics, METRIC_UPDATES, 3);
    metrics_set(metrics, METRIC_RECEIVED_LSN, UINT64_MAX);
    metrics_add(metrics, METRIC_APPLY_SECONDS, 1500000);
    metrics_set(metrics, METRIC_PHASE, METRICS_FOLLOWING);
    metrics_render(metrics, "a\"b\\c\nd", &out);
    const char *text = buf_text(&out);
    static const char *const expected[] = {
        "# HELP trunkline_copied_rows_total Rows copied under the snapshot\n"
        "# TYPE trunkline_copied_rows_total counter\n"
        "trunkline_copied_rows_total{pipeline=\"a\\\"b\\\\c\\nd\"} 7\n",
        "trunkline_changes_total{pipeline=\"a\\\"b\\\\c\\nd\",kind=\"update\"} 3\n",
        "trunkline_received_lsn{pipeline=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n",
        "trunkline_apply_seconds_total{pipeline=\"a\\\"b\\\\c\\nd\"} 1.500000\n",
        "# TYPE trunkline_phase gauge\n",
        ",phase=\"following\"} 1\n",
        ",phase=\"copying\"} 0\n",
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        if (!strstr(text, expected[i]))
            fail_msg("missing: %s", expected[i]);
    assert_int_equal(count_of(text, "# TYPE trunkline_changes_total "), 1);
    assert_int_equal(count_of(text, "trunkline_changes_total{"), 4);
    assert_int_equal(count_of(text, "} 1\n"), 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

/* Sends the request to loopback and returns the whole answer. */
static char *talk(int port, const char *request)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct buf answer = BUF_INIT;
    char chunk[4096];
    ssize_t got;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while ((got = read(fd, chunk, sizeof(chunk))) > 0)
        buf_add(&answer, chunk, (size_t)got);
    (void)close(fd);
    return buf_take(&answer);
}

static void expect_answer(int port, const char *request, const char *start, const char *within)
{
    AUTO(str_free)
    char *whole = str_fmt("%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
    AUTO(str_free) char *answer = talk(port, whole);
    if (strncmp(answer, start, strlen(start)) != 0 || !strstr(answer, within))
        fail_msg("%s: %s", request, answer);
}

static void http_serves_metrics_and_health(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    struct err err = {0};
    AUTO(http_free) struct http *http = http_start(":0", metrics, "shop", &err);
    assert_non_null(http);
    int port = http_port(http);
    assert_true(port > 0);
    metrics_set(metrics, METRIC_LAG_BYTES, 42);
    expect_answer(port, "GET /metrics", "HTTP/1.1 200", "lag_bytes{pipeline=\"shop\"} 42\n");
    expect_answer(port, "GET /metrics", "HTTP/1.1 200", "text/plain; version=0.0.4");
    expect_answer(port, "GET /healthz", "HTTP/1.1 200", "\r\n\r\nok\n");
    metrics_set(metrics, METRIC_PHASE, METRICS_FOLLOWING);
    expect_answer(port, "GET /healthz", "HTTP/1.1 200", "\r\n\r\nok\n");
    metrics_set(metrics, METRIC_PHASE, METRICS_FAILED);
    expect_answer(port, "GET /healthz", "HTTP/1.1 503", "\r\n\r\nfailed\n");
    expect_answer(port, "GET /", "HTTP/1.1 404", "not found");
    expect_answer(port, "GET /metrics/x", "HTTP/1.1 404", "not found");
    expect_answer(port, "POST /metrics", "HTTP/1.1 405", "Allow: GET, HEAD");
    expect_answer(port, "DELETE /healthz", "HTTP/1.1 405", "not allowed");
}

static void http_answers_head_without_a_body(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    struct err err = {0};
    AUTO(http_free) struct http *http = http_start("127.0.0.1:0", metrics, "shop", &err);
    assert_non_null(http);
    AUTO(str_free)
    char *answer = talk(http_port(http), "HEAD /metrics HTTP/1.1\r\nHost: x\r\n"
                                         "Connection: close\r\n\r\n");
    assert_int_equal(strncmp(answer, "HTTP/1.1 200", 12), 0);
    assert_null(strstr(answer, "trunkline_"));
}

static void http_refuses_an_address_in_use(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    struct err err = {0};
    AUTO(http_free) struct http *first = http_start(":0", metrics, "a", &err);
    assert_non_null(first);
    AUTO(str_free) char *same = str_fmt("127.0.0.1:%d", http_port(first));
    assert_null(http_start(same, metrics, "b", &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.text, "in use"));
}

static void http_refuses_what_is_no_address(void **state)
{
    static const char *const wrong[] = {
        "",         "9090",       "host",      ":",   "host:x",
        "::1:9090", "127.0.0.1:", ":99999999", ":-1", "192.0.2.1:0",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct err err = {0};
        if (http_start(wrong[i], NULL, "p", &err))
            fail_msg("%s was taken", wrong[i]);
        assert_int_equal(err.kind, ERR_CONFIG);
    }
}

static void http_survives_a_broken_client(void **state)
{
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    struct err err = {0};
    AUTO(http_free) struct http *http = http_start(":0", metrics, "shop", &err);
    assert_non_null(http);
    AUTO(str_free) char *answer = talk(http_port(http), "garbage\r\n\r\n");
    expect_answer(http_port(http), "GET /healthz", "HTTP/1.1 200", "ok\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_count_across_threads),
        cmocka_unit_test(metrics_raise_never_lowers),
        cmocka_unit_test(metrics_may_be_absent),
        cmocka_unit_test(metrics_render_is_prometheus_text),
        cmocka_unit_test(http_serves_metrics_and_health),
        cmocka_unit_test(http_answers_head_without_a_body),
        cmocka_unit_test(http_refuses_an_address_in_use),
        cmocka_unit_test(http_refuses_what_is_no_address),
        cmocka_unit_test(http_survives_a_broken_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
