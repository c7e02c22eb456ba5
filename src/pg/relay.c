/* A server towards the client, a client towards the server. See relay.h. Runs in the thread of its
 * caller; the connection is its own. Bytes are read and written as they are: a query is told from
 * another by comparing all of it, never by looking into it. */
#include "pg/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "pg/libpq.h"

enum {
    PROTOCOL_3 = 3 << 16,
    CANCEL_REQUEST = 80877102,
    STARTUP_MAX = 10000,
    QUERY_MAX = 1 << 30,
    LENGTH_BYTES = 4,
};

struct client {
    int fd;
    const struct stop *stop;
};

/* False: the client has gone, or stop is raised. */
static bool read_whole(const struct client *client, void *into, size_t len)
{
    char *at = into;
    while (len) {
        struct pollfd fds[] = {{.fd = client->fd, .events = POLLIN},
                               {.fd = stop_fd(client->stop), .events = POLLIN}};
        if (poll(fds, COUNT_OF(fds), -1) < 0 && errno != EINTR)
            return false;
        if (stop_raised(client->stop))
            return false;
        ssize_t got = recv(client->fd, at, len, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
    return true;
}

/* The length that stands before what follows it, and which it counts itself. */
static bool read_body(const struct client *client, size_t max, struct buf *body)
{
    uint32_t length;
    buf_reset(body);
    if (!read_whole(client, &length, sizeof(length)))
        return false;
    length = ntohl(length);
    if (length < LENGTH_BYTES || length - LENGTH_BYTES > max)
        return false;
    buf_reserve(body, length);
    if (!read_whole(client, body->data, length - LENGTH_BYTES))
        return false;
    body->len = length - LENGTH_BYTES;
    body->data[body->len] = '\0';
    return true;
}

static bool reply(const struct client *client, const struct buf *out)
{
    for (size_t sent = 0; sent < out->len;) {
        ssize_t n = send(client->fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Messages: message_begin(), its fields, message_end(), which writes the length. */
static size_t message_begin(struct buf *out, char type)
{
    buf_putc(out, type);
    buf_put_u32(out, 0);
    return out->len - LENGTH_BYTES;
}

static void message_end(struct buf *out, size_t begin)
{
    uint32_t length = htonl((uint32_t)(out->len - begin));
    memcpy(out->data + begin, &length, sizeof(length));
}

static void put_text(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text) + 1);
}

static void put_field(struct buf *out, char code, const char *text)
{
    if (!text)
        return;
    buf_putc(out, code);
    put_text(out, text);
}

static void put_failure(struct buf *out, const char *severity, const struct err *err)
{
    size_t begin = message_begin(out, 'E');
    put_field(out, 'S', severity);
    put_field(out, 'C', err->sqlstate[0] ? err->sqlstate : "08006");
    put_field(out, 'M', err->text);
    buf_putc(out, '\0');
    message_end(out, begin);
}

static void put_error(struct buf *out, const PGresult *result)
{
    static const char codes[] = "SVCMDHPpqWsctdnFLR"; /* PostgreSQL's own; libpq's are the same */
    size_t begin = message_begin(out, 'E');
    for (size_t i = 0; i < sizeof(codes) - 1; i++)
        put_field(out, codes[i], PQresultErrorField(result, codes[i]));
    buf_putc(out, '\0');
    message_end(out, begin);
}

static void put_rows(struct buf *out, const PGresult *result)
{
    int columns = PQnfields(result);
    size_t begin = message_begin(out, 'T');
    buf_put_u16(out, (unsigned)columns);
    for (int c = 0; c < columns; c++) {
        put_text(out, PQfname(result, c));
        buf_put_u32(out, PQftable(result, c));
        buf_put_u16(out, (unsigned)PQftablecol(result, c));
        buf_put_u32(out, PQftype(result, c));
        buf_put_u16(out, (unsigned)PQfsize(result, c));
        buf_put_u32(out, (unsigned)PQfmod(result, c));
        buf_put_u16(out, 0); /* text */
    }
    message_end(out, begin);
    for (int r = 0; r < PQntuples(result); r++) {
        begin = message_begin(out, 'D');
        buf_put_u16(out, (unsigned)columns);
        for (int c = 0; c < columns; c++) {
            bool is_null = PQgetisnull(result, r, c);
            size_t len = is_null ? 0 : (size_t)PQgetlength(result, r, c);
            buf_put_u32(out, is_null ? UINT32_MAX : (unsigned)len);
            buf_add(out, PQgetvalue(result, r, c), len);
        }
        message_end(out, begin);
    }
}

static void put_done(struct buf *out, const char *tag)
{
    size_t begin = message_begin(out, 'C');
    put_text(out, tag);
    message_end(out, begin);
}

static void put_ready(struct buf *out, const struct conn *conn)
{
    PGTransactionStatusType status = PQtransactionStatus(conn->pg);
    size_t begin = message_begin(out, 'Z');
    buf_putc(out, status == PQTRANS_INTRANS ? 'T' : status == PQTRANS_INERROR ? 'E' : 'I');
    message_end(out, begin);
}

static bool put_result(struct buf *out, struct conn *conn, PGresult *result, struct err *err)
{
    switch (PQresultStatus(result)) {
    case PGRES_EMPTY_QUERY:
        message_end(out, message_begin(out, 'I'));
        return true;
    case PGRES_TUPLES_OK:
        put_rows(out, result);
        put_done(out, PQcmdStatus(result));
        return true;
    case PGRES_COMMAND_OK:
        put_done(out, PQcmdStatus(result));
        return true;
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
        if (conn_is_lost(conn))
            return conn_fail(conn, result, err);
        put_error(out, result);
        return true;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_NONFATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    return err_set(err, ERR_FATAL, "cannot pass on a command that is neither a query nor DDL");
}

static bool pass_on(struct conn *conn, const char *query, struct buf *out, struct err *err)
{
    if (!PQsendQuery(conn->pg, query))
        return conn_fail(conn, NULL, err);
    for (;;) {
        PGresult *result = NULL;
        if (!conn_next_result(conn, &result, err))
            return false;
        if (!result)
            return true;
        bool is_good = put_result(out, conn, result, err);
        PQclear(result);
        if (!is_good)
            return false;
    }
}

static void put_welcome(struct buf *out, const struct conn *conn)
{
    static const char *const names[] = {"server_version", "server_encoding", "client_encoding",
                                        "standard_conforming_strings", "integer_datetimes"};
    size_t begin = message_begin(out, 'R');
    buf_put_u32(out, 0); /* authenticated */
    message_end(out, begin);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = PQparameterStatus(conn->pg, names[i]);
        begin = message_begin(out, 'S');
        put_text(out, names[i]);
        put_text(out, value ? value : "");
        message_end(out, begin);
    }
    begin = message_begin(out, 'K'); /* its requests to cancel go to us, who read nothing in them */
    buf_put_u32(out, (unsigned)PQbackendPID(conn->pg));
    buf_put_u32(out, 0);
    message_end(out, begin);
    put_ready(out, conn);
}

/* Query after query, until the client says goodbye or is gone. */
static bool serve(const struct relay *relay, const struct client *client, struct conn *conn,
                  struct buf *out, struct err *err)
{
    AUTO(buf_release) struct buf query = BUF_INIT;
    AUTO(buf_release) struct buf adapted = BUF_INIT;
    char type;
    while (reply(client, out) && read_whole(client, &type, 1) &&
           read_body(client, QUERY_MAX, &query) && type != 'X') {
        buf_reset(out);
        if (type != 'Q')
            return err_set(err, ERR_FATAL, "cannot pass on a message of type %c", type);
        buf_reset(&adapted);
        bool is_adapted =
            relay->adapt && relay->adapt(buf_text(&query), conn_version(conn), &adapted);
        if (relay->withheld && strcmp(buf_text(&query), relay->withheld) == 0)
            put_done(out, "SET");
        else if (!pass_on(conn, buf_text(is_adapted ? &adapted : &query), out, err))
            return false;
        put_ready(out, conn);
    }
    return true;
}

/* The code that a startup message begins with; 0: none came. */
static uint32_t greet(const struct client *client)
{
    AUTO(buf_release) struct buf startup = BUF_INIT;
    uint32_t code;
    if (!read_body(client, STARTUP_MAX, &startup) || startup.len < sizeof(code))
        return 0;
    memcpy(&code, startup.data, sizeof(code));
    return ntohl(code);
}

bool relay_serve(const struct relay *relay, int fd, struct err *err)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(conn_free) struct conn *conn = NULL;
    struct client client = {fd, relay->target.stop};
    uint32_t code = greet(&client);
    if (code == 0 || code == CANCEL_REQUEST)
        return true;
    if (code != PROTOCOL_3)
        return err_set(err, ERR_FATAL, "cannot serve a client of protocol %u", (unsigned)code);
    bool is_open = conn_open(&relay->target, &conn, err);
    if (is_open) {
        put_welcome(&out, conn);
        if (serve(relay, &client, conn, &out, err))
            return true;
    }
    buf_reset(&out);
    put_failure(&out, "FATAL", err);
    (void)reply(&client, &out);
    return false;
}
