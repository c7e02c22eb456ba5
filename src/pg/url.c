/* Connection strings, by libpq's own parser. See url.h. */
#include "pg/url.h"

#include <libpq-fe.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void options_free(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}

bool url_check(const char *text, const char *what, struct err *err)
{
    char *message = NULL;
    AUTO(options_free) PQconninfoOption *options = PQconninfoParse(text, &message);
    if (options)
        return true;
    /* libpq quotes the string in some messages, a password with it: keep only the reason. */
    bool tells_secret = message && strchr(message, '"');
    (void)err_set(err, ERR_CONFIG, "%s is not a connection string%s%.200s", what,
                  message && !tells_secret ? ": " : "", message && !tells_secret ? message : "");
    char *newline = strchr(err->text, '\n');
    if (newline)
        *newline = '\0';
    PQfreemem(message);
    return err_hint(err, "write postgres://user@host:port/database");
}

static const char *find(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

char *url_part(const char *text, const char *keyword)
{
    AUTO(options_free) PQconninfoOption *options = PQconninfoParse(text, NULL);
    return str_dup(find(options, keyword));
}

char *url_redact(const char *text)
{
    AUTO(options_free) PQconninfoOption *options = PQconninfoParse(text, NULL);
    if (!options)
        return str_dup("(not a connection string)");
    struct buf out = BUF_INIT;
    const char *user = find(options, "user");
    const char *host = find(options, "host");
    const char *port = find(options, "port");
    const char *dbname = find(options, "dbname");
    if (user)
        buf_fmt(&out, "%s@", user);
    buf_puts(&out, host ? host : "local");
    if (port)
        buf_fmt(&out, ":%s", port);
    buf_fmt(&out, "/%s", dbname ? dbname : "");
    return buf_take(&out);
}

static void put_keyword(struct buf *out, const char *keyword, const char *value)
{
    if (out->len)
        buf_putc(out, ' ');
    buf_fmt(out, "%s='", keyword);
    for (const char *c = value; *c; c++) {
        if (*c == '\'' || *c == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *c);
    }
    buf_putc(out, '\'');
}

char *url_without_password(const char *text)
{
    AUTO(options_free) PQconninfoOption *options = PQconninfoParse(text, NULL);
    struct buf out = BUF_INIT;
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (o->val && strcmp(o->keyword, "password") != 0 &&
            strcmp(o->keyword, "sslpassword") != 0 && strcmp(o->keyword, "options") != 0)
            put_keyword(&out, o->keyword, o->val);
    return buf_take(&out);
}
