/* Connections: opening with our session settings, waiting that can be interrupted, queries.
 * See conn.h. Every libpq connection is in non-blocking mode; conn_wait() is the only wait. */
#include "pg/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/strv.h"
#include "pg/hosts.h"
#include "pg/libpq.h"
#include "pg/quote.h"
#include "pg/url.h"

enum { CANCEL_MS = 1000, USER_TIMEOUT_MS = 30000, KEYWORDS_MAX = 16 };

/* Startup options hold against ALTER ROLE … SET and ALTER DATABASE … SET, from the first command
 * on. What newer servers only know (transaction_timeout) is set after the connection is there. */
static const char session_options[] =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c idle_session_timeout=0 -c extra_float_digits=3 -c DateStyle=ISO,YMD "
    "-c IntervalStyle=postgres -c bytea_output=hex -c TimeZone=UTC -c lc_monetary=C "
    "-c search_path= -c default_transaction_isolation=read\\ committed "
    "-c default_transaction_read_only=off -c default_transaction_deferrable=off "
    "-c row_security=off -c jit=off -c client_min_messages=warning "
    "-c standard_conforming_strings=on -c xmloption=content -c array_nulls=on "
    "-c synchronize_seqscans=off";

static void first_line(char *text)
{
    char *newline = strchr(text, '\n');
    if (newline)
        *newline = '\0';
}

static enum err_kind classify(const struct conn *conn, const char *sqlstate)
{
    static const struct {
        const char *prefix;
        enum err_kind kind;
    } classes[] = {
        {"08", ERR_RETRY},     {"57P01", ERR_RETRY}, {"57P02", ERR_RETRY},
        {"57P03", ERR_RETRY},  {"57P05", ERR_RETRY}, {"57014", ERR_RETRY},
        {"53", ERR_RETRY},     {"40", ERR_RETRY},    {"55P03", ERR_RETRY},
        {"25P0", ERR_RETRY},   {"28", ERR_CONFIG},   {"3D000", ERR_CONFIG},
        {"42501", ERR_CONFIG}, {"22", ERR_DATA},     {"23", ERR_DATA},
        {"25006", ERR_RETRY}, /* a standby, not promoted yet */
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
            return classes[i].kind;
    return conn_is_lost(conn) || !sqlstate[0] ? ERR_RETRY : ERR_FATAL;
}

/* The context of an error in COPY FROM, "COPY table, line 5, column …", names the row; what follows
 * may hold values. Its words are those of the server's lc_messages. */
static int64_t copy_row(const PGresult *result)
{
    const char *context = result ? PQresultErrorField(result, PG_DIAG_CONTEXT) : NULL;
    if (!context || strncmp(context, "COPY ", 5) != 0)
        return 0;
    const char *line = strstr(context, ", line ");
    if (!line)
        line = strchr(context, ',');
    const char *digit = line ? strpbrk(line, "0123456789") : NULL;
    return digit ? strtoll(digit, NULL, 10) : 0;
}

bool conn_fail(struct conn *conn, const PGresult *result, struct err *err)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    const char *hint = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;
    AUTO(str_free) char *text = str_dup(primary ? primary : PQerrorMessage(conn->pg));
    if (!primary)
        first_line(text);
    enum err_kind kind = classify(conn, sqlstate ? sqlstate : "");
    /* A constraint's detail holds the row's values; those of other classes say who or what. */
    const char *more = detail && kind != ERR_DATA ? detail : "";
    (void)err_set(err, kind, "%s: %s%s%.300s%s", conn->what, text[0] ? text : "connection lost",
                  *more ? " (" : "", more, *more ? ")" : "");
    err->row = copy_row(result);
    if (hint)
        (void)err_hint(err, "%.300s", hint);
    (void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate ? sqlstate : "");
    return false;
}

/* A cancel request goes over a connection of its own, which libpq makes without any timeout. It is
 * left to a thread that may outlive us: a server that has gone silent must not hold up a stop. */
struct cancel_job {
    PGcancel *handle;
    struct stop *done;
    atomic_int references;
};

static void cancel_job_unref(struct cancel_job *job)
{
    if (atomic_fetch_sub(&job->references, 1) > 1)
        return;
    PQfreeCancel(job->handle);
    stop_free(&job->done);
    free(job);
}

static void *cancel_main(void *arg)
{
    struct cancel_job *job = arg;
    char why[256];
    (void)PQcancel(job->handle, why, sizeof(why));
    stop_raise(job->done);
    cancel_job_unref(job);
    return NULL;
}

static void cancel(struct conn *conn)
{
    pthread_t thread;
    if (PQtransactionStatus(conn->pg) != PQTRANS_ACTIVE || conn->is_streaming)
        return;
    struct cancel_job *job = mem_alloc(sizeof(*job));
    job->handle = PQgetCancel(conn->pg);
    job->done = stop_new();
    atomic_init(&job->references, 2);
    if (job->handle && pthread_create(&thread, NULL, cancel_main, job) == 0) {
        (void)pthread_detach(thread);
        (void)stop_wait(job->done, CANCEL_MS);
    } else {
        cancel_job_unref(job);
    }
    cancel_job_unref(job);
}

static bool wait_for(struct conn *conn, short events, int timeout_ms, int extra_fd, struct err *err)
{
    struct pollfd fds[3] = {
        {.fd = PQsocket(conn->pg), .events = events},
        {.fd = stop_fd(conn->stop), .events = POLLIN}, /* a negative descriptor is left out */
        {.fd = extra_fd, .events = POLLIN},
    };
    if (poll(fds, COUNT_OF(fds), timeout_ms) < 0 && errno != EINTR)
        return err_set(err, ERR_FATAL, "could not wait: %s", strerror(errno));
    if (stop_raised(conn->stop)) {
        cancel(conn);
        return err_set(err, ERR_STOP, "%s: interrupted", conn->what);
    }
    return true;
}

bool conn_wait(struct conn *conn, int timeout_ms, int extra_fd, struct err *err)
{
    int unsent = PQflush(conn->pg);
    if (unsent < 0)
        return conn_fail(conn, NULL, err);
    if (!wait_for(conn, (short)(unsent ? POLLIN | POLLOUT : POLLIN), timeout_ms, extra_fd, err))
        return false;
    return PQconsumeInput(conn->pg) || conn_fail(conn, NULL, err);
}

bool conn_look(struct conn *conn, struct err *err)
{
    return conn_wait(conn, 0, -1, err);
}

bool conn_flush(struct conn *conn, struct err *err)
{
    int unsent = 0;
    while ((unsent = PQflush(conn->pg)) > 0)
        if (!wait_for(conn, POLLIN | POLLOUT, -1, -1, err) || !PQconsumeInput(conn->pg))
            return err->kind == ERR_STOP ? false : conn_fail(conn, NULL, err);
    return unsent == 0 || conn_fail(conn, NULL, err);
}

static void keep_notice(void *arg, const PGresult *result)
{
    struct conn *conn = arg;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    (void)snprintf(conn->notice, sizeof(conn->notice), "%s", text ? text : "");
    (void)snprintf(conn->notice_sqlstate, sizeof(conn->notice_sqlstate), "%s",
                   sqlstate ? sqlstate : "");
}

const char *conn_notice(const struct conn *conn, const char **ret_sqlstate)
{
    if (ret_sqlstate)
        *ret_sqlstate = conn->notice_sqlstate;
    return conn->notice;
}

/* The connection failed before a session was there: libpq has no SQLSTATE for it in most cases,
 * so the class is taken from what the server's message says about the user's input. */
static bool open_failed(struct conn *conn, struct err *err)
{
    static const char *const config_texts[] = {
        "password",
        "authentication",
        "does not exist",
        "pg_hba.conf",
        "permission denied",
        "role",
        "unsupported startup parameter",
        "must be superuser or replication role",
        "invalid",
    };
    const char *message = PQerrorMessage(conn->pg);
    enum err_kind kind = ERR_RETRY;
    bool is_fatal =
        strstr(message, "FATAL:") || strstr(message, "password") || strstr(message, "invalid");
    for (size_t i = 0; is_fatal && i < COUNT_OF(config_texts); i++)
        if (strstr(message, config_texts[i]))
            kind = ERR_CONFIG;
    /* "No such file or directory": the socket is not there, the server is down. */
    if (strstr(message, "No such file") || strstr(message, "refused") ||
        strstr(message, "too many"))
        kind = ERR_RETRY;
    AUTO(str_free) char *text = str_dup(message);
    first_line(text);
    (void)err_set(err, kind, "could not connect to the %s: %s", conn->what, text);
    if (kind == ERR_CONFIG)
        return err_hint(err, "check user, password and database in the %s URL, and pg_hba.conf",
                        conn->what);
    return err_hint(err, "check that the server runs and that host and port are right");
}

static bool connect_poll(struct conn *conn, int timeout_ms, struct err *err)
{
    int64_t until = clock_ms() + timeout_ms;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED || PQstatus(conn->pg) == CONNECTION_BAD)
            return open_failed(conn, err);
        int64_t left = until - clock_ms();
        if (left <= 0) {
            (void)err_set(err, ERR_RETRY, "could not connect to the %s: no answer within %d s",
                          conn->what, timeout_ms / 1000);
            return err_hint(err, "check host, port and firewall; connect_timeout is the limit");
        }
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(conn, events, (int)left, -1, err))
            return false;
        state = PQconnectPoll(conn->pg);
    }
    return true;
}

struct conn_liveness conn_liveness(int tcp_user_timeout_ms)
{
    int ms = tcp_user_timeout_ms ? tcp_user_timeout_ms : USER_TIMEOUT_MS;
    int third_s = ms / 3000;
    return (struct conn_liveness){
        .user_timeout_ms = ms,
        .idle_s = MIN_OF(MAX_OF(third_s, 1), 10),
        .interval_s = MIN_OF(MAX_OF(third_s / 2, 1), 5),
        .count = 3,
    };
}

char *conn_liveness_options(const struct conn_liveness *liveness)
{
    return str_fmt("-c tcp_keepalives_idle=%d -c tcp_keepalives_interval=%d"
                   " -c tcp_keepalives_count=%d",
                   liveness->idle_s, liveness->interval_s, liveness->count);
}

/* The user's own options come first: ours win where both set the same. */
static char *options_of(const struct conn_options *options, const struct conn_liveness *liveness)
{
    struct buf text = BUF_INIT;
    AUTO(str_free) char *user_options = url_part(options->url, "options");
    AUTO(str_free) char *lives = conn_liveness_options(liveness);
    if (user_options && user_options[0])
        buf_fmt(&text, "%s ", user_options);
    buf_fmt(&text, "%s %s", session_options, lives);
    if (options->extra_options)
        buf_fmt(&text, " %s", options->extra_options);
    return buf_take(&text);
}

struct keywords {
    const char *names[KEYWORDS_MAX];
    const char *values[KEYWORDS_MAX];
    size_t count;
};

static void put(struct keywords *keywords, const char *name, const char *value)
{
    assert(keywords->count < KEYWORDS_MAX - 1); /* the end stays NULL */
    keywords->names[keywords->count] = name;
    keywords->values[keywords->count++] = value;
}

static void put_number(struct keywords *keywords, const char *name, int value, char room[12])
{
    (void)snprintf(room, 12, "%d", value);
    put(keywords, name, room);
}

/* One host (hosts.h), with all of the time for itself. */
static bool connect_one(struct conn *conn, const struct conn_options *options,
                        const struct hosts *hosts, size_t i, const char *attributes,
                        struct err *err)
{
    struct conn_liveness liveness = conn_liveness(options->tcp_user_timeout_ms);
    AUTO(str_free) char *session = options_of(options, &liveness);
    char numbers[4][12];
    struct keywords keywords = {0};
    /* The URL is expanded first (expand_dbname); what stands behind it overrides it. */
    put(&keywords, "dbname", options->url);
    put(&keywords, "host", hosts_name(hosts, i));
    put(&keywords, "hostaddr", hosts_address(hosts, i));
    put(&keywords, "port", hosts_port(hosts, i));
    put(&keywords, "target_session_attrs", attributes);
    put(&keywords, "application_name", options->application_name);
    put(&keywords, "client_encoding", "UTF8");
    put(&keywords, "options", session);
    put(&keywords, "keepalives", "1");
    put_number(&keywords, "keepalives_idle", liveness.idle_s, numbers[0]);
    put_number(&keywords, "keepalives_interval", liveness.interval_s, numbers[1]);
    put_number(&keywords, "keepalives_count", liveness.count, numbers[2]);
    put_number(&keywords, "tcp_user_timeout", liveness.user_timeout_ms, numbers[3]);
    if (options->is_replication)
        put(&keywords, "replication", "database");
    PQfinish(conn->pg);
    conn->pg = PQconnectStartParams(keywords.names, keywords.values, 1);
    if (!conn->pg)
        return err_set(err, ERR_FATAL, "out of memory");
    (void)PQsetNoticeReceiver(conn->pg, keep_notice, conn);
    if (PQstatus(conn->pg) == CONNECTION_BAD)
        return open_failed(conn, err);
    return connect_poll(conn, options->connect_timeout_ms ? options->connect_timeout_ms : 10000,
                        err);
}

/* As libpq does it: the first host that answers and is what target_session_attrs wants; one that
 * refuses the user ends the search. */
static bool connect_some(struct conn *conn, const struct conn_options *options,
                         const struct hosts *hosts, const char *attributes, struct err *err)
{
    AUTO(strv_release) struct strv reasons = STRV_INIT;
    AUTO(str_free) char *prefix = str_fmt("could not connect to the %s: ", conn->what);
    for (size_t i = 0; i < hosts->count; i++) {
        *err = (struct err){0};
        if (connect_one(conn, options, hosts, i, attributes, err))
            return true;
        if (err->kind != ERR_RETRY || hosts->count == 1)
            return false;
        char *reason = err->text;
        if (strncmp(reason, prefix, strlen(prefix)) == 0)
            reason += strlen(prefix);
        char *hint = strstr(reason, "; hint: ");
        strv_take(&reasons, str_dup_n(reason, hint ? (size_t)(hint - reason) : strlen(reason)));
    }
    AUTO(str_free) char *all = strv_join(&reasons, "; ");
    (void)err_set(err, ERR_RETRY, "could not connect to any host of the %s: %.700s", conn->what,
                  all);
    return err_hint(err, "check that one of them runs and is what target_session_attrs asks for");
}

static bool connect_any(struct conn *conn, const struct conn_options *options, struct err *err)
{
    AUTO(hosts_release) struct hosts hosts = {0};
    hosts_read(options->url, &hosts);
    bool prefers_standby =
        hosts.count > 1 && hosts.attributes && strcmp(hosts.attributes, "prefer-standby") == 0;
    if (!prefers_standby)
        return connect_some(conn, options, &hosts, NULL, err);
    return connect_some(conn, options, &hosts, "standby", err) ||
           (err->kind == ERR_RETRY && connect_some(conn, options, &hosts, "any", err));
}

/* No conversion: the server's own encoding. (SQL_ASCII would not do towards a server that has one:
 * COPY FROM in text form then checks nothing.) */
static bool speak_raw(struct conn *conn, struct err *err)
{
    const char *encoding = PQparameterStatus(conn->pg, "server_encoding");
    return !encoding || conn_execf(conn, err, "SET client_encoding = %L", encoding);
}

bool conn_is_raw(const struct conn *conn)
{
    const char *encoding = PQparameterStatus(conn->pg, "server_encoding");
    return encoding && strcmp(encoding, "SQL_ASCII") == 0;
}

bool conn_refused_encoding(const struct err *err)
{
    return strcmp(err->sqlstate, "22021") == 0 || strcmp(err->sqlstate, "22P05") == 0;
}

bool conn_open(const struct conn_options *options, struct conn **ret_conn, struct err *err)
{
    AUTO(conn_free) struct conn *conn = mem_alloc(sizeof(*conn));
    conn->what = str_dup(options->what);
    conn->stop = options->stop;
    if (!connect_any(conn, options, err))
        return false;
    if (PQsetnonblocking(conn->pg, 1) != 0)
        return conn_fail(conn, NULL, err);
    if (conn_version(conn) >= 170000 && !conn_exec(conn, "SET transaction_timeout = 0", err))
        return false;
    if ((options->is_raw || conn_is_raw(conn)) && !speak_raw(conn, err))
        return false;
    *ret_conn = TAKE(conn);
    return true;
}

void conn_free(struct conn **conn)
{
    if (!*conn)
        return;
    PQfreemem((*conn)->copy_row);
    PQfinish((*conn)->pg);
    free((*conn)->what);
    free(*conn);
    *conn = NULL;
}

bool conn_next_result(struct conn *conn, PGresult **ret_result, struct err *err)
{
    while (PQisBusy(conn->pg))
        if (!conn_wait(conn, -1, -1, err))
            return false;
    *ret_result = PQgetResult(conn->pg);
    return true;
}

/* Reads all results of a command; keeps the last that is not an error, reports the first error. */
static bool drain(struct conn *conn, PGresult **ret_last, struct err *err)
{
    PGresult *last = NULL;
    bool is_good = true;
    for (;;) {
        PGresult *result = NULL;
        struct err lost = {0};
        if (!conn_next_result(conn, &result, &lost)) {
            PQclear(last);
            return is_good || lost.kind == ERR_STOP ? err_copy(err, &lost) : false;
        }
        if (!result)
            break;
        ExecStatusType status = PQresultStatus(result);
        bool is_error =
            status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
        if (is_error && is_good)
            is_good = conn_fail(conn, result, err);
        PQclear(last);
        last = result;
        if (status == PGRES_COPY_BOTH || status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
            break; /* not ours to drain: the caller asked for the wrong thing */
    }
    if (!is_good) {
        PQclear(last);
        return false;
    }
    *ret_last = last;
    return true;
}

bool conn_exec(struct conn *conn, const char *sql, struct err *err)
{
    PGresult *last = NULL;
    if (!PQsendQuery(conn->pg, sql))
        return conn_fail(conn, NULL, err);
    if (!drain(conn, &last, err))
        return false;
    PQclear(last);
    return true;
}

bool conn_execf(struct conn *conn, struct err *err, const char *fmt, ...)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    quote_add_args(&sql, fmt, args);
    va_end(args);
    return conn_exec(conn, buf_text(&sql), err);
}

bool conn_send(struct conn *conn, const char *sql, int count, const char *const *params,
               struct err *err)
{
    int sent = count ? PQsendQueryParams(conn->pg, sql, count, NULL, params, NULL, NULL, 0)
                     : PQsendQuery(conn->pg, sql);
    return sent ? conn_flush(conn, err) : conn_fail(conn, NULL, err);
}

bool conn_receive(struct conn *conn, struct rows **ret_rows, struct err *err)
{
    PGresult *last = NULL;
    if (!drain(conn, &last, err))
        return false;
    if (!last)
        return err_set(err, ERR_FATAL, "%s: no result", conn->what);
    *ret_rows = rows_wrap(last);
    return true;
}

bool conn_query_params(struct conn *conn, const char *sql, int count, const char *const *params,
                       struct rows **ret_rows, struct err *err)
{
    return conn_send(conn, sql, count, params, err) && conn_receive(conn, ret_rows, err);
}

bool conn_query(struct conn *conn, const char *sql, struct rows **ret_rows, struct err *err)
{
    return conn_query_params(conn, sql, 0, NULL, ret_rows, err);
}

bool conn_text(struct conn *conn, const char *sql, char **ret_text, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(conn, sql, &rows, err))
        return false;
    *ret_text = rows_count(rows) ? str_dup(rows_text(rows, 0, 0)) : NULL;
    return true;
}

int conn_version(const struct conn *conn)
{
    return PQserverVersion(conn->pg);
}

int conn_backend_pid(const struct conn *conn)
{
    return PQbackendPID(conn->pg);
}

bool conn_is_lost(const struct conn *conn)
{
    return PQstatus(conn->pg) != CONNECTION_OK;
}

bool conn_in_transaction(const struct conn *conn)
{
    return PQtransactionStatus(conn->pg) == PQTRANS_INTRANS;
}
