/* Running pg_dump and pg_restore. See command.h. */
#include "schema/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/url.h"
#include "schema/child.h"

enum { NAME_MAX_BYTES = 63 }; /* NAMEDATALEN - 1: the server cuts what is longer */

/* As in src/pg/conn.c, as far as pg_dump and pg_restore do not set it themselves. What they made is
 * durable before the keeper says so: its record stands behind it in the target's WAL. */
static const char session_options[] =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c idle_session_timeout=0 -c default_transaction_isolation=read\\ committed "
    "-c default_transaction_read_only=off -c default_transaction_deferrable=off "
    "-c client_min_messages=warning -c client_connection_check_interval=1000 "
    "-c synchronous_commit=off";

void command_init(struct command *command, const struct schema_job *job, const char *path)
{
    *command = (struct command){.job = job};
    strv_add(&command->argv, path);
    strv_add(&command->environment, "LC_ALL=C"); /* the texts that child.c looks at */
}

void command_release(struct command *command)
{
    strv_release(&command->argv);
    strv_release(&command->environment);
    str_wipe(&command->secret);
}

void command_add(struct command *command, const char *argument)
{
    strv_add(&command->argv, argument);
}

void command_addf(struct command *command, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    strv_take(&command->argv, text);
}

char *command_application(const struct schema_job *job, const char *role)
{
    int room = NAME_MAX_BYTES - (int)strlen("trunkline::") - (int)strlen(role);
    return str_fmt("trunkline:%.*s:%s", room, job->pipeline, role);
}

char *command_file(const struct schema_job *job, const char *name)
{
    return str_fmt("%s/%s", job->work_dir, name);
}

/* A line that serves any host; the separator and the escape character are escaped. */
static char *passfile_line(const char *password)
{
    struct buf line = BUF_INIT;
    buf_puts(&line, "*:*:*:*:");
    for (; *password; password++) {
        if (*password == ':' || *password == '\\')
            buf_putc(&line, '\\');
        buf_putc(&line, *password);
    }
    buf_putc(&line, '\n');
    return buf_take(&line);
}

/* keyword='value', quoted as libpq wants it. */
static void conninfo_add(struct buf *conninfo, const char *keyword, const char *value)
{
    buf_fmt(conninfo, " %s='", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_putc(conninfo, '\\');
        buf_putc(conninfo, *value);
    }
    buf_putc(conninfo, '\'');
}

char *command_options(int64_t memory)
{
    if (memory <= 0)
        return str_dup(session_options);
    return str_fmt("%s -c maintenance_work_mem=%" PRId64 "kB", session_options, memory / 1024);
}

void command_connect_front(struct command *command)
{
    /* What libpq would ask of a server, but not of a socket of ours. */
    static const char *const unset[] = {
        "PGSERVICE",     "PGREQUIREAUTH",        "PGCHANNELBINDING",    "PGTARGETSESSIONATTRS",
        "PGREQUIREPEER", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"};
    AUTO(buf_release) struct buf conninfo = BUF_INIT;
    for (size_t i = 0; i < COUNT_OF(unset); i++)
        strv_add(&command->environment, unset[i]);
    buf_puts(&conninfo, "port=1 user=target dbname=target");
    conninfo_add(&conninfo, "host", command->job->work_dir);
    command_addf(command, "--dbname=%s", buf_text(&conninfo));
    command_add(command, "--no-password");
}

/* A server that goes silent must not hold a child for ever. */
static void add_liveness(struct buf *conninfo, const struct schema_job *job,
                         const struct conn_liveness *liveness)
{
    buf_fmt(conninfo,
            " connect_timeout=%d tcp_user_timeout=%d keepalives=1 keepalives_idle=%d"
            " keepalives_interval=%d keepalives_count=%d",
            MAX_OF(job->connect_timeout_ms / 1000, 2), liveness->user_timeout_ms, liveness->idle_s,
            liveness->interval_s, liveness->count);
}

void command_connect(struct command *command, const char *url, const char *role, int version,
                     int64_t memory)
{
    AUTO(str_free) char *plain = url_without_password(url);
    AUTO(str_free) char *application = command_application(command->job, role);
    AUTO(buf_release) struct buf conninfo = BUF_INIT;
    AUTO(str_free) char *options = command_options(memory);
    struct conn_liveness liveness = conn_liveness(command->job->tcp_user_timeout_ms);
    AUTO(str_free) char *lives = conn_liveness_options(&liveness);
    char *password = url_part(url, "password");
    buf_puts(&conninfo, plain);
    conninfo_add(&conninfo, "application_name", application);
    add_liveness(&conninfo, command->job, &liveness);
    if (password) {
        command->secret = passfile_line(password);
        conninfo_add(&conninfo, "passfile", CHILD_SECRET_PATH);
        strv_add(&command->environment, "PGPASSWORD"); /* unset: it would win */
        str_wipe(&password);
    }
    strv_take(&command->environment, str_fmt("PGOPTIONS=%s %s%s", options, lives,
                                             version >= 170000 ? " -c transaction_timeout=0" : ""));
    command_addf(command, "--dbname=%s", buf_text(&conninfo));
    command_add(command, "--no-password"); /* never ask at the terminal */
}

bool command_run(struct command *command, struct buf *output, struct err *err)
{
    struct child_spec spec = {
        .argv = (const char *const *)command->argv.items,
        .environment = (const char *const *)command->environment.items,
        .secret = command->secret,
        .stop = command->job->stop,
    };
    return child_run(&spec, output, err);
}
