/* SQL quoting. See quote.h. */
#include "pg/quote.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void quote_ident(struct buf *sql, const char *name)
{
    buf_putc(sql, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_putc(sql, '"');
        buf_putc(sql, *name);
    }
    buf_putc(sql, '"');
}

void quote_qualified(struct buf *sql, const char *schema, const char *name)
{
    quote_ident(sql, schema);
    buf_putc(sql, '.');
    quote_ident(sql, name);
}

void quote_literal(struct buf *sql, const char *text)
{
    if (!text) {
        buf_puts(sql, "NULL");
        return;
    }
    if (strchr(text, '\\'))
        buf_puts(sql, " E");
    buf_putc(sql, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_putc(sql, *text);
        buf_putc(sql, *text);
    }
    buf_putc(sql, '\'');
}

void quote_add_args(struct buf *sql, const char *fmt, va_list args)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            buf_putc(sql, *fmt);
            continue;
        }
        switch (*++fmt) {
        case 'I':
            quote_ident(sql, va_arg(args, const char *));
            break;
        case 'L':
            quote_literal(sql, va_arg(args, const char *));
            break;
        case 's':
            buf_puts(sql, va_arg(args, const char *));
            break;
        case 'd':
            buf_fmt(sql, "%d", va_arg(args, int));
            break;
        case 'u':
            buf_fmt(sql, "%u", va_arg(args, unsigned));
            break;
        case 'l':
            buf_fmt(sql, "%" PRId64, va_arg(args, int64_t));
            break;
        case '%':
            buf_putc(sql, '%');
            break;
        default:
            assert(!"unknown conversion in SQL format");
        }
    }
}

void quote_add(struct buf *sql, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    quote_add_args(sql, fmt, args);
    va_end(args);
}

char *quote_sql(const char *fmt, ...)
{
    struct buf sql = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    quote_add_args(&sql, fmt, args);
    va_end(args);
    return buf_take(&sql);
}
