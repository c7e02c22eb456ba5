/* Reads the engine's /metrics: one HTTP/1.0 request over loopback, answered until the end of the
 * connection. */
#include "demo/scrape.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"

enum { TIMEOUT_MS = 500, MAX_ANSWER = 1 << 20 };

static int connect_port(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    union {
        const struct sockaddr_in *in;
        const struct sockaddr *any;
    } at = {&address};
    struct timeval timeout = {.tv_usec = TIMEOUT_MS * 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
        connect(fd, at.any, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool fetch(int port, struct buf *ret_answer)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    char piece[4096];
    ssize_t len = 0;
    int fd = connect_port(port);
    if (fd < 0)
        return false;
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1)
        while ((len = recv(fd, piece, sizeof(piece), 0)) > 0 && ret_answer->len < MAX_ANSWER)
            buf_add(ret_answer, piece, (size_t)len);
    (void)close(fd);
    return len == 0 && strstr(buf_text(ret_answer), " 200 ") != NULL;
}

/* The value of the first line "trunkline_name{…} value" whose labels contain label. */
static int64_t number(const char *text, const char *name, const char *label)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *end = strchr(line, '\n');
        const char *value = strstr(line, "} ");
        const char *found = strstr(line, label);
        size_t len = strlen(name);
        if (strncmp(line, "trunkline_", 10) == 0 && strncmp(line + 10, name, len) == 0 &&
            line[10 + len] == '{' && value && found && (!end || (value < end && found < end)))
            return strtoll(value + 2, NULL, 10);
    }
    return 0;
}

static enum metrics_phase phase_of(const char *text)
{
    for (int phase = METRICS_STARTING; phase <= METRICS_FAILED; phase++) {
        AUTO(buf_release) struct buf label = BUF_INIT;
        buf_fmt(&label, "phase=\"%s\"", metrics_phase_name((enum metrics_phase)phase));
        if (number(text, "phase", buf_text(&label)) == 1)
            return (enum metrics_phase)phase;
    }
    return METRICS_STARTING;
}

bool scrape_read(int port, struct scrape *ret_scrape)
{
    AUTO(buf_release) struct buf answer = BUF_INIT;
    if (!fetch(port, &answer))
        return false;
    const char *text = buf_text(&answer);
    *ret_scrape = (struct scrape){
        .phase = phase_of(text),
        .rows = number(text, "copied_rows_total", ""),
        .bytes = number(text, "copied_bytes_total", ""),
        .parts = number(text, "copy_parts", ""),
        .parts_done = number(text, "copy_parts_done", ""),
        .tables = number(text, "copy_tables", ""),
        .tables_done = number(text, "copy_tables_done", ""),
        .transactions = number(text, "transactions_total", ""),
        .groups = number(text, "groups_total", ""),
        .applied_lsn = number(text, "applied_lsn", ""),
        .lag_bytes = number(text, "lag_bytes", ""),
    };
    return true;
}
