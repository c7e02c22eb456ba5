/* COPY OUT and COPY IN. See copy.h. */
#include "pg/copy.h"

#include "pg/libpq.h"

enum { PIECE_BYTES = 256 * 1024 };

static bool begin(struct conn *conn, const char *sql, ExecStatusType expected, struct err *err)
{
    PGresult *result = NULL;
    if (!PQsendQuery(conn->pg, sql))
        return conn_fail(conn, NULL, err);
    if (!conn_next_result(conn, &result, err))
        return false;
    bool is_good = result && PQresultStatus(result) == expected;
    if (!is_good)
        (void)conn_fail(conn, result, err);
    PQclear(result);
    /* After an error the command's end is still to be read. */
    while (!is_good && !conn_is_lost(conn)) {
        struct err ignored = {0};
        if (!conn_next_result(conn, &result, &ignored) || !result)
            break;
        PQclear(result);
    }
    return is_good;
}

/* The command's final status, after the data. */
static bool finish(struct conn *conn, int64_t *ret_rows, struct err *err)
{
    bool is_good = true;
    PGresult *result = NULL;
    while (conn_next_result(conn, &result, err)) {
        if (!result)
            return is_good;
        if (PQresultStatus(result) != PGRES_COMMAND_OK && is_good)
            is_good = conn_fail(conn, result, err);
        else if (is_good && ret_rows)
            *ret_rows = strtoll(PQcmdTuples(result), NULL, 10);
        PQclear(result);
    }
    return false;
}

bool copy_out_begin(struct conn *conn, const char *sql, struct err *err)
{
    return begin(conn, sql, PGRES_COPY_OUT, err);
}

bool copy_out_next(struct conn *conn, const char **ret_data, size_t *ret_len, struct err *err)
{
    PQfreemem(conn->copy_row);
    conn->copy_row = NULL;
    for (;;) {
        int len = PQgetCopyData(conn->pg, &conn->copy_row, 1);
        if (len > 0) {
            *ret_data = conn->copy_row;
            *ret_len = (size_t)len;
            return true;
        }
        if (len == -1) {
            *ret_data = NULL;
            *ret_len = 0;
            return finish(conn, NULL, err);
        }
        if (len < -1)
            return conn_fail(conn, NULL, err);
        if (!conn_wait(conn, -1, -1, err))
            return false;
    }
}

bool copy_in_begin(struct conn *conn, const char *sql, struct err *err)
{
    return begin(conn, sql, PGRES_COPY_IN, err);
}

static bool write_piece(struct conn *conn, const char *data, size_t len, struct err *err)
{
    int sent = 0;
    while ((sent = PQputCopyData(conn->pg, data, (int)len)) == 0)
        if (!conn_wait(conn, -1, -1, err))
            return false;
    return sent > 0 ? conn_flush(conn, err) : conn_fail(conn, NULL, err);
}

/* In pieces: libpq would keep a huge row until it is sent. */
bool copy_in_write(struct conn *conn, const char *data, size_t len, struct err *err)
{
    for (size_t at = 0, piece; at < len; at += piece) {
        piece = MIN_OF(len - at, (size_t)PIECE_BYTES);
        if (!write_piece(conn, data + at, piece, err))
            return false;
    }
    return true;
}

bool copy_in_end(struct conn *conn, int64_t *ret_rows, struct err *err)
{
    int sent = 0;
    while ((sent = PQputCopyEnd(conn->pg, NULL)) == 0)
        if (!conn_wait(conn, -1, -1, err))
            return false;
    if (sent < 0 || !conn_flush(conn, err))
        return conn_fail(conn, NULL, err);
    return finish(conn, ret_rows, err);
}
