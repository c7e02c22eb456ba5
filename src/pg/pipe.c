/* Pipeline mode over libpq's. See pipe.h. Sending never blocks for long: output is flushed with
 * input being read, so that two full sockets cannot wait for each other. */
#include "pg/pipe.h"

#include <assert.h>
#include <string.h>

#include "pg/libpq.h"

/* What libpq gathers is bounded by both: it would keep all that a slow server does not take. */
enum { FLUSH_EVERY = 64, FLUSH_BYTES = 64 * 1024 };

bool pipe_enter(struct conn *conn, struct err *err)
{
    conn->in_flight = 0;
    conn->unflushed = 0;
    return PQenterPipelineMode(conn->pg) || conn_fail(conn, NULL, err);
}

bool pipe_leave(struct conn *conn, struct err *err)
{
    return PQexitPipelineMode(conn->pg) || conn_fail(conn, NULL, err);
}

static bool sent(struct conn *conn, int is_sent, struct err *err)
{
    if (!is_sent)
        return conn_fail(conn, NULL, err);
    conn->in_flight++;
    if (conn->in_flight % FLUSH_EVERY != 0 && conn->unflushed < FLUSH_BYTES)
        return true;
    conn->unflushed = 0;
    return conn_flush(conn, err);
}

bool pipe_sql_params(struct conn *conn, const char *sql, int count, const char *const *params,
                     struct err *err)
{
    return sent(conn, PQsendQueryParams(conn->pg, sql, count, NULL, params, NULL, NULL, 0), err);
}

bool pipe_sql(struct conn *conn, const char *sql, struct err *err)
{
    return pipe_sql_params(conn, sql, 0, NULL, err);
}

bool pipe_prepare(struct conn *conn, const char *name, const char *sql, struct err *err)
{
    return sent(conn, PQsendPrepare(conn->pg, name, sql, 0, NULL), err);
}

bool pipe_execute(struct conn *conn, const char *name, const struct pipe_params *params,
                  struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < params->count; i++)
        bytes += params->data[i] ? (size_t)params->lengths[i] : 0;
    conn->unflushed += bytes;
    return sent(conn,
                PQsendQueryPrepared(conn->pg, name, (int)params->count, params->data,
                                    params->lengths, params->formats, 0),
                err);
}

bool pipe_flush(struct conn *conn, struct err *err)
{
    return PQsendFlushRequest(conn->pg) ? conn_flush(conn, err) : conn_fail(conn, NULL, err);
}

bool pipe_sync(struct conn *conn, struct err *err)
{
    if (!PQpipelineSync(conn->pg))
        return conn_fail(conn, NULL, err);
    conn->in_flight++;
    return conn_flush(conn, err);
}

static void fill(struct conn *conn, PGresult *result, struct pipe_answer *answer)
{
    switch ((int)PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        answer->kind = PIPE_DONE;
        answer->affected = strtoll(PQcmdTuples(result), NULL, 10);
        if (PQntuples(result) && PQnfields(result))
            (void)snprintf(answer->first, sizeof(answer->first), "%s", PQgetvalue(result, 0, 0));
        break;
    case PGRES_PIPELINE_SYNC:
        answer->kind = PIPE_SYNC;
        break;
    case PGRES_PIPELINE_ABORTED:
        answer->kind = PIPE_SKIPPED;
        break;
    default:
        answer->kind = PIPE_FAILED;
        (void)conn_fail(conn, result, &answer->fail);
    }
}

bool pipe_next(struct conn *conn, struct pipe_answer *ret_answer, struct err *err)
{
    PGresult *result = NULL;
    PGresult *end = NULL;
    assert(conn->in_flight > 0);
    *ret_answer = (struct pipe_answer){.kind = PIPE_DONE};
    if (!conn_next_result(conn, &result, err))
        return false;
    if (!result)
        return conn_fail(conn, NULL, err);
    fill(conn, result, ret_answer);
    PQclear(result);
    conn->in_flight--;
    /* A command's answer ends with a NULL result; a sync has none. */
    if (ret_answer->kind != PIPE_SYNC && !conn_next_result(conn, &end, err))
        return false;
    PQclear(end);
    if (ret_answer->kind == PIPE_FAILED && conn_is_lost(conn))
        return err_copy(err, &ret_answer->fail);
    return true;
}

bool pipe_next_sync(struct conn *conn, struct pipe_answer *ret_answer, struct err *err)
{
    struct pipe_answer sync;
    if (!pipe_next(conn, ret_answer, err))
        return false;
    if (ret_answer->kind == PIPE_FAILED) {
        conn->in_flight++; /* that error was no command's */
        return pipe_next(conn, &sync, err);
    }
    return ret_answer->kind == PIPE_SYNC ||
           err_set(err, ERR_FATAL, "%s: the pipeline is out of step", conn->what);
}

size_t pipe_in_flight(const struct conn *conn)
{
    return conn->in_flight;
}
