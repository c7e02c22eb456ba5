/* Two connections that work at the same time: see pair.h. */
#include "verify/pair.h"

#include <string.h>

#include "base/mem.h"
#include "pg/url.h"

static bool read_encoding(struct conn *conn, char **ret_encoding, struct err *err)
{
    return conn_text(conn, "SHOW server_encoding", ret_encoding, err);
}

/* What a source without an encoding holds was taken byte for byte. */
static bool agree_on_encoding(struct pair *pair, struct err *err)
{
    AUTO(str_free) char *source = NULL;
    AUTO(str_free) char *target = NULL;
    if (!read_encoding(pair->conns[SIDE_SOURCE], &source, err) ||
        !read_encoding(pair->conns[SIDE_TARGET], &target, err))
        return false;
    if (strcmp(source, target) != 0)
        pair->recodes = conn_is_raw(pair->conns[SIDE_SOURCE]) ? "SQL_ASCII" : "UTF8";
    return true;
}

bool pair_open(struct pair *pair, const struct settings *settings, struct stop *stop,
               struct err *err)
{
    AUTO(str_free) char *dbname = url_part(settings->source, "dbname");
    const char *pipeline = *settings->slot ? settings->slot : dbname ? dbname : "";
    AUTO(str_free) char *name = str_fmt("trunkline:%.40s:verify", pipeline);
    struct conn_options options = {
        .application_name = name,
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)settings->tcp_user_timeout_ms,
        .stop = stop,
    };
    pair->stop = stop;
    options.url = settings->source;
    options.what = "source";
    if (!conn_open(&options, &pair->conns[SIDE_SOURCE], err))
        return false;
    options.url = settings->target;
    options.what = "target";
    return conn_open(&options, &pair->conns[SIDE_TARGET], err) && agree_on_encoding(pair, err);
}

void pair_release(struct pair *pair)
{
    for (int side = 0; side < SIDES; side++)
        conn_free(&pair->conns[side]);
}

void pair_rows_free(struct rows *(*rows)[SIDES])
{
    for (int side = 0; side < SIDES; side++)
        rows_free(&(*rows)[side]);
}

/* What does not exist (any more) or does not fit; bounds that are no values of a new type; an OID
 * or a file that is gone. */
bool pair_is_altered(const struct err *err)
{
    return (strncmp(err->sqlstate, "42", 2) == 0 && strcmp(err->sqlstate, "42501") != 0) ||
           strcmp(err->sqlstate, "22P02") == 0 || strcmp(err->sqlstate, "XX000") == 0;
}

bool pair_query(struct pair *pair, const char *source_sql, const char *target_sql,
                struct rows *ret_rows[SIDES], struct err *err)
{
    const char *const sql[SIDES] = {source_sql, target_sql};
    bool is_sent[SIDES] = {false};
    AUTO(pair_rows_free) struct rows *rows[SIDES] = {NULL};
    bool is_good = true;
    for (int side = 0; side < SIDES && is_good; side++)
        is_good = is_sent[side] = conn_send(pair->conns[side], sql[side], 0, NULL, err);
    if (!is_good && !pair_is_altered(err))
        stop_raise(pair->stop);
    for (int side = 0; side < SIDES; side++) {
        struct err other = {0}; /* the first error counts */
        if (!is_sent[side] || conn_receive(pair->conns[side], &rows[side], is_good ? err : &other))
            continue;
        is_good = false;
        if (!pair_is_altered(err))
            stop_raise(pair->stop);
    }
    if (!is_good)
        return false;
    for (int side = 0; side < SIDES; side++)
        ret_rows[side] = TAKE(rows[side]);
    return true;
}

bool pair_begin(struct pair *pair, struct err *err)
{
    static const char sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    return conn_exec(pair->conns[SIDE_SOURCE], sql, err) &&
           conn_exec(pair->conns[SIDE_TARGET], sql, err);
}

bool pair_end(struct pair *pair, struct err *err)
{
    for (int side = 0; side < SIDES; side++)
        if (!conn_exec(pair->conns[side], "ROLLBACK", err))
            return false;
    return true;
}
