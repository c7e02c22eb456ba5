/* The HTTP endpoint, on libmicrohttpd. It only reads counters: what it answers never waits for the
 * engine. Thread: libmicrohttpd's own, from http_start to http_free. */
#include "metrics/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_CONNECTIONS = 16, IDLE_SECONDS = 10, BACKLOG = 16 };

struct http {
    struct MHD_Daemon *daemon;
    const struct metrics *metrics; /* borrowed: from http_start's caller */
    char *pipeline;
    int port;
};

static bool is_healthy(const struct metrics *metrics)
{
    switch ((enum metrics_phase)metrics_get(metrics, METRIC_PHASE)) {
    case METRICS_STARTING:
    case METRICS_COPYING:
    case METRICS_CATCHING_UP:
    case METRICS_FOLLOWING:
        return true;
    case METRICS_STOPPING:
    case METRICS_FAILED:
        return false;
    }
    return false;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             const struct buf *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called by the daemon for each request, with the types that it prescribes. */
static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **connection_cls)
{
    const struct http *http = cls;
    AUTO(buf_release) struct buf body = BUF_INIT;
    const char *type = "text/plain; charset=utf-8";
    unsigned status = MHD_HTTP_OK;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        status = MHD_HTTP_METHOD_NOT_ALLOWED;
        buf_puts(&body, "method not allowed\n");
    } else if (strcmp(url, "/metrics") == 0) {
        type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_render(http->metrics, http->pipeline, &body);
    } else if (strcmp(url, "/healthz") == 0) {
        bool is_ok = is_healthy(http->metrics);
        status = is_ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
        buf_fmt(&body, "%s\n",
                is_ok ? "ok"
                      : metrics_phase_name(
                            (enum metrics_phase)metrics_get(http->metrics, METRIC_PHASE)));
    } else {
        status = MHD_HTTP_NOT_FOUND;
        buf_puts(&body, "not found: /metrics and /healthz are here\n");
    }
    return reply(connection, status, type, &body);
}

static bool is_port(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= 5 && strspn(text, "0123456789") == len &&
           strtol(text, NULL, 10) <= 65535;
}

/* "host:port" to its two halves; an IPv6 address stands in brackets. */
static bool split_listen(const char *listen, char **ret_host, char **ret_port)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || !is_port(colon + 1))
        return false;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']')
        *ret_host = str_dup_n(listen + 1, len - 2);
    else if (memchr(listen, ':', len))
        return false;
    else
        *ret_host = len == 0 ? str_dup("127.0.0.1") : str_dup_n(listen, len);
    *ret_port = str_dup(colon + 1);
    return true;
}

/* A listening socket on the address, or -1 with errno. */
static int open_socket(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static void free_addresses(struct addrinfo **addresses)
{
    if (*addresses)
        freeaddrinfo(*addresses);
}

static int listen_on(const char *text, struct err *err)
{
    AUTO(str_free) char *host = NULL;
    AUTO(str_free) char *port = NULL;
    if (!split_listen(text, &host, &port)) {
        (void)err_set(err, ERR_CONFIG, "cannot listen on \"%s\"", text);
        (void)err_hint(err, "write host:port, or :port for this machine only");
        return -1;
    }
    bool is_any = strcmp(host, "*") == 0;
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                              .ai_family = is_any ? AF_INET : AF_UNSPEC};
    AUTO(free_addresses) struct addrinfo *found = NULL;
    int failed = getaddrinfo(is_any ? NULL : host, port, &wanted, &found);
    if (failed) {
        (void)err_set(err, ERR_CONFIG, "cannot listen on \"%s\": %s", text, gai_strerror(failed));
        return -1;
    }
    int fd = open_socket(found);
    if (fd < 0)
        (void)err_set(err, ERR_CONFIG, "could not listen on \"%s\": %s", text, strerror(errno));
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char port[16];
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port),
                    NI_NUMERICSERV) != 0)
        return 0;
    return (int)strtol(port, NULL, 10);
}

struct http *http_start(const char *listen, const struct metrics *metrics, const char *pipeline,
                        struct err *err)
{
    int fd = listen_on(listen, err);
    if (fd < 0)
        return NULL;
    AUTO(http_free) struct http *http = mem_alloc(sizeof(*http));
    http->metrics = metrics;
    http->pipeline = str_dup(pipeline);
    http->port = port_of(fd);
    http->daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, answer, http,
                                    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                    (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                                    (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (!http->daemon) {
        (void)close(fd);
        (void)err_set(err, ERR_FATAL, "could not start the HTTP endpoint on \"%s\"", listen);
        return NULL;
    }
    return TAKE(http);
}

int http_port(const struct http *http)
{
    return http->port;
}

void http_free(struct http **http)
{
    if (!*http)
        return;
    if ((*http)->daemon)
        MHD_stop_daemon((*http)->daemon); /* closes the socket too */
    str_free(&(*http)->pipeline);
    free(*http);
    *http = NULL;
}
