/* Error values. See err.h; nothing here logs: only thread entries and commands do. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    struct err made = {.kind = kind};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(made.text, sizeof(made.text), fmt, args);
    va_end(args);
    *err = made; /* built aside: the arguments may point into err */
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    char context[sizeof(err->text)];
    char cause[sizeof(err->text)];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(context, sizeof(context), fmt, args);
    va_end(args);
    memcpy(cause, err->text, sizeof(cause));
    /* Truncation keeps the outermost context. */
    int used = snprintf(err->text, sizeof(err->text), "%s: ", context);
    if (used > 0 && (size_t)used < sizeof(err->text))
        (void)snprintf(err->text + used, sizeof(err->text) - (size_t)used, "%s", cause);
    return false;
}

bool err_hint(struct err *err, const char *fmt, ...)
{
    size_t used = strlen(err->text);
    int mark = snprintf(err->text + used, sizeof(err->text) - used, "; hint: ");
    used = MIN_OF(used + (size_t)MAX_OF(mark, 0), sizeof(err->text) - 1);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->text + used, sizeof(err->text) - used, fmt, args);
    va_end(args);
    return false;
}

bool err_copy(struct err *err, const struct err *from)
{
    *err = *from;
    return false;
}

int err_exit_code(const struct err *err)
{
    switch (err->kind) {
    case ERR_NONE:
        return 0;
    case ERR_CONFIG:
        return 2;
    case ERR_STOP:
        return 3;
    case ERR_RETRY:
    case ERR_DATA:
    case ERR_FATAL:
        return 1;
    }
    return 1;
}
