/* The replication protocol: reading and writing its messages, side by side. See replication.h. */
#include "pg/replication.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pg/libpq.h"
#include "pg/lsn.h"
#include "pg/quote.h"

enum {
    DATA_HEADER = 1 + 8 + 8 + 8,
    KEEPALIVE_LEN = 1 + 8 + 8 + 1,
    SHORT_US = 200,   /* a wait that is shorter: more is being sent */
    SHORT_WAITS = 16, /* so many in a row: much more */
    GATHER_BYTES = 32 * 1024,
    GATHER_MS = 2,
};

void replication_system_release(struct replication_system *system)
{
    free(system->system_id);
    free(system->dbname);
    *system = (struct replication_system){0};
}

bool replication_identify(struct conn *conn, struct replication_system *ret_system, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, "IDENTIFY_SYSTEM", &rows, err))
        return err_wrap(err, "IDENTIFY_SYSTEM");
    ret_system->system_id = str_dup(rows_text(rows, 0, 0));
    ret_system->timeline = rows_oid(rows, 0, 1);
    ret_system->flush_lsn = rows_lsn(rows, 0, 2);
    ret_system->dbname = str_dup(rows_text(rows, 0, 3));
    return true;
}

bool replication_create_slot(struct conn *conn, const char *slot, bool exports,
                             uint64_t *ret_consistent, char **ret_snapshot, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    bool is_new = conn_version(conn) >= 150000;
    const char *snapshot = is_new    ? exports ? "(SNAPSHOT 'export')" : "(SNAPSHOT 'nothing')"
                           : exports ? "EXPORT_SNAPSHOT"
                                     : "NOEXPORT_SNAPSHOT";
    AUTO(str_free)
    char *sql = quote_sql("CREATE_REPLICATION_SLOT %I LOGICAL pgoutput %s", slot, snapshot);
    if (!conn_query(conn, sql, &rows, err))
        return err_wrap(err, "could not create replication slot \"%s\"", slot);
    *ret_consistent = rows_lsn(rows, 0, 1);
    if (exports)
        *ret_snapshot = str_dup(rows_text(rows, 0, 2));
    return true;
}

bool replication_start(struct conn *conn, const char *slot, uint64_t lsn, const char *options,
                       struct err *err)
{
    char lsn_text[LSN_TEXT];
    PGresult *result = NULL;
    AUTO(str_free)
    char *sql = quote_sql("START_REPLICATION SLOT %I LOGICAL %s (%s)", slot,
                          lsn_format(lsn, lsn_text), options);
    if (!PQsendQuery(conn->pg, sql))
        return conn_fail(conn, NULL, err);
    if (!conn_next_result(conn, &result, err))
        return false;
    bool is_good = result && PQresultStatus(result) == PGRES_COPY_BOTH;
    if (!is_good)
        (void)conn_fail(conn, result, err);
    PQclear(result);
    conn->is_streaming = is_good;
    return is_good ||
           err_wrap(err, "could not start replication from slot \"%s\" at %s", slot, lsn_text);
}

static uint64_t read_u64(const char *data)
{
    uint64_t wire = 0;
    memcpy(&wire, data, sizeof(wire));
    return be64toh(wire);
}

static bool parse(const char *data, size_t len, struct replication_message *ret_message,
                  struct err *err)
{
    if (data[0] == 'w' && len >= DATA_HEADER) {
        *ret_message = (struct replication_message){.kind = REPLICATION_DATA,
                                                    .lsn = read_u64(data + 1),
                                                    .data = data + DATA_HEADER,
                                                    .len = len - DATA_HEADER};
        return true;
    }
    if (data[0] == 'k' && len == KEEPALIVE_LEN) {
        *ret_message = (struct replication_message){.kind = REPLICATION_KEEPALIVE,
                                                    .wal_end = read_u64(data + 1),
                                                    .wants_reply = data[17] != 0};
        return true;
    }
    return err_set(err, ERR_FATAL, "source: malformed replication message (kind 0x%02x, %zu bytes)",
                   (unsigned char)data[0], len);
}

/* The stream is over: the command's result says why. */
static bool ended(struct conn *conn, struct err *err)
{
    PGresult *result = NULL;
    if (!conn_next_result(conn, &result, err))
        return false;
    if (!result || PQresultStatus(result) != PGRES_FATAL_ERROR)
        (void)err_set(err, ERR_RETRY, "%s: the server has ended the stream", conn->what);
    else if (!conn_fail(conn, result, err) && strcmp(err->sqlstate, "42704") == 0)
        (void)err_hint(err, "the publication has been dropped and changes are lost: remove the "
                            "pipeline with tear-down, empty the target and copy again");
    if (strcmp(err->sqlstate, "XX000") == 0)
        (void)err_hint(err, "the source itself cannot decode its WAL from the slot's position on: "
                            "see its log; what it cannot send, a new copy brings: tear-down, "
                            "then start again");
    if (conn_refused_encoding(err))
        (void)err_hint(err, "a row holds bytes that its own encoding does not define: mend it on "
                            "the source; the stream keeps the row as it was written, so tear-down "
                            "and copy again");
    PQclear(result);
    return false;
}

/* What has arrived, without waiting: a message, nothing, or the end. */
static bool take_arrived(struct conn *conn, struct replication_message *ret_message,
                         struct err *err)
{
    int len = PQgetCopyData(conn->pg, &conn->copy_row, 1);
    if (strcmp(conn->notice_sqlstate, "55000") == 0)
        return err_set(err, ERR_FATAL, "source: %s", conn->notice);
    if (len > 0)
        return parse(conn->copy_row, (size_t)len, ret_message, err);
    if (len == -1)
        return ended(conn, err);
    if (len < -1)
        return conn_fail(conn, NULL, err);
    ret_message->kind = REPLICATION_NOTHING;
    return true;
}

/* From now on a wait ends when so many bytes have come. */
static void gather(struct conn *conn, int bytes)
{
    (void)setsockopt(PQsocket(conn->pg), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
    conn->is_gathering = bytes > 1;
}

static bool await(struct conn *conn, int timeout_ms, struct replication_message *ret_message,
                  struct err *err)
{
    int64_t since_us = clock_us();
    int64_t short_us = conn->is_gathering ? (int64_t)GATHER_MS * 1000 : SHORT_US;
    if (!conn_wait(conn, conn->is_gathering ? MIN_OF(timeout_ms, GATHER_MS) : timeout_ms, -1,
                   err) ||
        !take_arrived(conn, ret_message, err))
        return false;
    bool is_short = ret_message->kind != REPLICATION_NOTHING && clock_us() - since_us < short_us;
    conn->short_waits = is_short ? conn->short_waits + 1 : 0;
    if (conn->is_gathering != (conn->short_waits >= SHORT_WAITS))
        gather(conn, conn->is_gathering ? 1 : GATHER_BYTES);
    return true;
}

bool replication_receive(struct conn *conn, int timeout_ms, struct replication_message *ret_message,
                         struct err *err)
{
    PQfreemem(conn->copy_row);
    conn->copy_row = NULL;
    if (!take_arrived(conn, ret_message, err))
        return false;
    if (ret_message->kind != REPLICATION_NOTHING)
        return true;
    if (timeout_ms != 0)
        return await(conn, timeout_ms, ret_message, err);
    return conn_wait(conn, 0, -1, err) && take_arrived(conn, ret_message, err);
}

bool replication_status(struct conn *conn, uint64_t written, uint64_t flushed, bool wants_reply,
                        struct err *err)
{
    AUTO(buf_release) struct buf message = BUF_INIT;
    buf_putc(&message, 'r');
    buf_put_u64(&message, written);
    buf_put_u64(&message, flushed);
    buf_put_u64(&message, flushed);
    buf_put_u64(&message, (unsigned long long)clock_pg_us());
    buf_putc(&message, wants_reply ? 1 : 0);
    if (PQputCopyData(conn->pg, message.data, (int)message.len) <= 0)
        return conn_fail(conn, NULL, err);
    return conn_flush(conn, err);
}
