/* Hides passwords in connection strings. Where libpq and a careless user disagree on where a
 * password ends (an '@' or '/' that should have been encoded), too much is hidden, never too
 * little. */
#include "conf/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

#define HIDDEN "***"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether key, possibly percent-encoded, is one whose value is a secret. */
static bool is_secret(const char *key, size_t len)
{
    AUTO(buf_release) struct buf plain = BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        bool is_encoded = key[i] == '%' && i + 2 < len && hex_digit(key[i + 1]) >= 0 &&
                          hex_digit(key[i + 2]) >= 0;
        buf_putc(&plain,
                 is_encoded ? (char)(hex_digit(key[i + 1]) * 16 + hex_digit(key[i + 2])) : key[i]);
        i += is_encoded ? 2 : 0;
    }
    return strcasecmp(buf_text(&plain), "password") == 0 ||
           strcasecmp(buf_text(&plain), "sslpassword") == 0;
}

/* Whether key is one that people do put behind a password. */
static bool is_plain(const char *key, size_t len)
{
    static const char *const known[] = {"user",
                                        "host",
                                        "hostaddr",
                                        "port",
                                        "dbname",
                                        "sslmode",
                                        "sslcert",
                                        "sslkey",
                                        "sslrootcert",
                                        "connect_timeout",
                                        "application_name",
                                        "options",
                                        "target_session_attrs",
                                        "channel_binding",
                                        "gssencmode",
                                        "keepalives"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strlen(known[i]) == len && strncmp(known[i], key, len) == 0)
            return true;
    return false;
}

/* The query behind '?'. After a password, a word that is no known keyword may be the rest of it,
 * behind an '&' that should have been encoded. */
static void redact_query(const char *query, struct buf *out)
{
    bool was_secret = false;
    while (*query) {
        size_t len = strcspn(query, "&");
        const char *equals = memchr(query, '=', len);
        size_t key_len = equals ? (size_t)(equals - query) : 0;
        if (equals && is_secret(query, key_len)) {
            buf_add(out, query, key_len + 1);
            buf_puts(out, HIDDEN);
            was_secret = true;
        } else if (equals && (!was_secret || is_plain(query, key_len))) {
            buf_add(out, query, len);
        } else {
            buf_puts(out, HIDDEN);
        }
        query += len;
        if (*query)
            buf_putc(out, *query++);
    }
}

static void redact_uri(const char *uri, const char *authority, struct buf *out)
{
    buf_add(out, uri, (size_t)(authority - uri));
    const char *at = strrchr(authority, '@');
    const char *colon = memchr(authority, ':', strcspn(authority, "?"));
    const char *rest = authority;
    if (at && colon && colon < at) {
        buf_add(out, authority, (size_t)(colon + 1 - authority));
        buf_puts(out, HIDDEN);
        rest = at;
        /* A '?' before the '@': password, or a query whose secrets may hold the '@'? */
        if (memchr(colon, '?', (size_t)(at - colon))) {
            buf_puts(out, "@" HIDDEN);
            return;
        }
    }
    size_t path_len = strcspn(rest, "?");
    buf_add(out, rest, path_len);
    if (rest[path_len]) {
        buf_putc(out, '?');
        redact_query(rest + path_len + 1, out);
    }
}

static const char *skip_space(const char *c)
{
    while (isspace((unsigned char)*c))
        c++;
    return c;
}

/* The end of a value of keyword form: quoted or up to white space, with backslashes. */
static const char *value_end(const char *c)
{
    bool is_quoted = *c == '\'';
    if (is_quoted)
        c++;
    while (*c && (is_quoted ? *c != '\'' : !isspace((unsigned char)*c)))
        c += *c == '\\' && c[1] ? 2 : 1;
    return *c && is_quoted ? c + 1 : c;
}

/* keyword=value keyword = 'value' … */
static void redact_keywords(const char *text, struct buf *out)
{
    for (const char *c = skip_space(text); *c; c = skip_space(c)) {
        const char *key = c;
        while (*c && *c != '=' && !isspace((unsigned char)*c))
            c++;
        size_t key_len = (size_t)(c - key);
        c = skip_space(c);
        if (out->len > 0)
            buf_putc(out, ' ');
        if (*c != '=') {
            buf_puts(out, HIDDEN);
            continue;
        }
        const char *value = skip_space(c + 1);
        c = value_end(value);
        buf_add(out, key, key_len);
        buf_putc(out, '=');
        if (is_secret(key, key_len))
            buf_puts(out, HIDDEN);
        else
            buf_add(out, value, (size_t)(c - value));
    }
}

char *redact_url(const char *url)
{
    struct buf out = BUF_INIT;
    const char *scheme_end = strstr(url, "://");
    const char *equals = strchr(url, '=');
    if (scheme_end && (!equals || scheme_end < equals))
        redact_uri(url, scheme_end + 3, &out);
    else
        redact_keywords(url, &out);
    return buf_take(&out);
}
