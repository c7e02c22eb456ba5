/* Numbers with units. Digits, optional blanks, a unit; no sign, no fraction. */
#include "conf/quantity.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

struct unit {
    const char *name;
    int64_t factor;
};

#define KIB ((int64_t)1024)

/* The first of each factor is the one that is printed; largest factors last. */
static const struct unit byte_units[] = {
    {"B", 1},
    {"KiB", KIB},
    {"kB", KIB},
    {"k", KIB},
    {"MiB", KIB *KIB},
    {"MB", KIB *KIB},
    {"M", KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"GB", KIB *KIB *KIB},
    {"G", KIB *KIB *KIB},
    {"TiB", KIB *KIB *KIB *KIB},
    {"TB", KIB *KIB *KIB *KIB},
    {"T", KIB *KIB *KIB *KIB},
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
};

static const char *skip_blanks(const char *c)
{
    while (*c == ' ' || *c == '\t')
        c++;
    return c;
}

/* Reads the digits; ret_rest is what stands behind them and blanks. */
static bool number_parse(const char *text, int64_t *ret, const char **ret_rest)
{
    const char *c = skip_blanks(text);
    int64_t value = 0;
    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *c - '0', &value))
            return false;
    *ret = value;
    *ret_rest = skip_blanks(c);
    return true;
}

static bool scale(int64_t value, const char *unit, const struct unit *units, size_t count,
                  int64_t *ret)
{
    size_t len = strlen(unit);
    while (len > 0 && (unit[len - 1] == ' ' || unit[len - 1] == '\t'))
        len--;
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == len && strncasecmp(unit, units[i].name, len) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, ret);
    return false;
}

bool bytes_parse(const char *text, int64_t *ret)
{
    int64_t value;
    const char *unit;
    if (!number_parse(text, &value, &unit))
        return false;
    return scale(value, *unit ? unit : "B", byte_units, COUNT_OF(byte_units), ret);
}

bool duration_parse(const char *text, int64_t *ret)
{
    int64_t value;
    const char *unit;
    if (!number_parse(text, &value, &unit))
        return false;
    if (value == 0 && !*unit)
        unit = "ms";
    return scale(value, unit, duration_units, COUNT_OF(duration_units), ret);
}

bool int_parse(const char *text, int64_t *ret)
{
    const char *rest;
    return number_parse(text, ret, &rest) && !*rest;
}

static char *quantity_text(int64_t value, const struct unit *units, size_t count)
{
    const struct unit *best = &units[0];
    for (size_t i = 1; i < count; i++)
        if (units[i].factor > best->factor && value % units[i].factor == 0)
            best = &units[i];
    return value ? str_fmt("%lld%s", (long long)(value / best->factor), best->name) : str_dup("0");
}

char *bytes_text(int64_t bytes)
{
    return quantity_text(bytes, byte_units, COUNT_OF(byte_units));
}

char *duration_text(int64_t ms)
{
    return quantity_text(ms, duration_units, COUNT_OF(duration_units));
}
