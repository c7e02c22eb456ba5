/* ${NAME} in the values of files, the same for .env and YAML. See expand.h. */
#include "conf/expand.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *expand_from_environment(const void *context UNUSED, const char *name)
{
    return getenv(name);
}

/* Bytes of the name at c, which does not begin with a digit. */
static size_t name_length(const char *c, const char *end)
{
    static const char digits[] = "0123456789";
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    const char *start = c;
    while (c < end && *c && (strchr(letters, *c) || (c > start && strchr(digits, *c))))
        c++;
    return (size_t)(c - start);
}

bool expand_one(const struct expander *expander, const char **pos, const char *end, struct buf *out,
                char **ret_problem)
{
    const char *start = *pos + strlen("${");
    size_t len = name_length(start, end);
    if (len == 0 || start + len == end || start[len] != '}') {
        *ret_problem =
            str_dup("\"${\" is not followed by a name and \"}\"; put the value in single "
                    "quotes if it is meant as it stands");
        return false;
    }
    AUTO(str_free) char *name = str_dup_n(start, len);
    const char *value = expander->lookup(expander->context, name);
    if (!value) {
        *ret_problem = str_fmt("${%s} is not set", name);
        return false;
    }
    buf_puts(out, value);
    *pos = start + len + 1;
    return true;
}

bool expand_text(const struct expander *expander, const char *text, size_t len, struct buf *out,
                 size_t *ret_offset, char **ret_problem)
{
    const char *end = text + len;
    const char *c = text;
    while (c < end) {
        if (end - c < 2 || c[0] != '$' || c[1] != '{') {
            buf_putc(out, *c++);
        } else if (!expand_one(expander, &c, end, out, ret_problem)) {
            *ret_offset = (size_t)(c - text);
            return false;
        }
    }
    return true;
}
