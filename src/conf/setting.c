/* Conversions of one setting between text and value, the same for every place it is read from. */
#include "conf/setting.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/pattern.h"
#include "conf/quantity.h"
#include "conf/redact.h"

static void *field_of(const struct setting *setting, struct settings *s)
{
    return (char *)s + setting->offset;
}

static const void *const_field_of(const struct setting *setting, const struct settings *s)
{
    return (const char *)s + setting->offset;
}

char *setting_flag(const struct setting *setting)
{
    char *flag = str_dup(setting->name);
    for (char *c = flag; *c; c++)
        if (*c == '_')
            *c = '-';
    return flag;
}

char *setting_env(const struct setting *setting)
{
    char *env = str_fmt("TRUNKLINE_%s", setting->name);
    for (char *c = env; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return env;
}

size_t setting_index(const char *name)
{
    size_t i = 0;
    while (i < settings_count && strcmp(settings_table[i].name, name) != 0)
        i++;
    assert(i < settings_count);
    return i;
}

static bool parse_string(const struct setting *setting, const char *text, char **field,
                         struct err *err)
{
    const char *problem = setting->check && *text ? setting->check(text) : NULL;
    if (problem && setting->type == SETTING_URL)
        return err_set(err, ERR_CONFIG, "%s", problem);
    if (problem)
        return err_set(err, ERR_CONFIG, "\"%s\" %s", text, problem);
    str_wipe(field);
    *field = str_dup(text);
    return true;
}

/* "true" or "false" for any word that means one of them; else the text itself. */
static const char *plain_bool(const char *text)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"off", "on"}, {"no", "yes"}, {"0", "1"}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        for (size_t value = 0; value < 2; value++)
            if (strcasecmp(text, words[i][value]) == 0)
                return words[0][value];
    return text;
}

static bool parse_bool(const char *text, bool *field, struct err *err)
{
    const char *plain = plain_bool(text);
    *field = strcmp(plain, "true") == 0;
    if (*field || strcmp(plain, "false") == 0)
        return true;
    return err_set(err, ERR_CONFIG, "\"%s\" is neither true nor false", text);
}

static bool parse_list(const char *text, struct strv *field, struct err *err)
{
    AUTO(strv_release) struct strv list = STRV_INIT;
    AUTO(pattern_list_release) struct pattern_list patterns = PATTERN_LIST_INIT;
    pattern_split(text, &list);
    if (!pattern_list_parse(&list, &patterns, err))
        return false;
    strv_release(field);
    *field = list;
    list = STRV_INIT;
    return true;
}

/* Where "true" and "false" are among the choices, 1 and 0, on and off, yes and no are as well. */
static bool parse_enum(const struct setting *setting, const char *text, int *field, struct err *err)
{
    AUTO(buf_release) struct buf choices = BUF_INIT;
    for (int i = 0; setting->choices[i]; i++) {
        if (strcasecmp(text, setting->choices[i]) == 0 ||
            strcmp(plain_bool(text), setting->choices[i]) == 0) {
            *field = i;
            return true;
        }
        buf_fmt(&choices, "%s%s", i ? ", " : "", setting->choices[i]);
    }
    return err_set(err, ERR_CONFIG, "\"%s\" is not one of: %s", text, buf_text(&choices));
}

static char *number_text(const struct setting *setting, int64_t value)
{
    if (setting->type == SETTING_BYTES)
        return bytes_text(value);
    if (setting->type == SETTING_DURATION)
        return duration_text(value);
    return str_fmt("%lld", (long long)value);
}

static bool number_parse(const struct setting *setting, const char *text, int64_t *ret,
                         struct err *err)
{
    if (setting->type == SETTING_BYTES)
        return bytes_parse(text, ret) ||
               err_set(err, ERR_CONFIG, "\"%s\" is not a size such as 64MiB or 512kB", text);
    if (setting->type == SETTING_DURATION)
        return duration_parse(text, ret) ||
               err_set(err, ERR_CONFIG, "\"%s\" is not a duration such as 500ms, 10s or 2min",
                       text);
    return int_parse(text, ret) || err_set(err, ERR_CONFIG, "\"%s\" is not a number", text);
}

static bool parse_number(const struct setting *setting, const char *text, void *field,
                         struct err *err)
{
    int64_t value;
    if (!number_parse(setting, text, &value, err))
        return false;
    if (value < setting->min || value > setting->max) {
        AUTO(str_free) char *min = number_text(setting, setting->min);
        AUTO(str_free) char *max = number_text(setting, setting->max);
        return err_set(err, ERR_CONFIG, "%s is out of range (%s to %s)", text, min, max);
    }
    if (setting->type == SETTING_INT)
        *(int *)field = (int)value;
    else
        *(int64_t *)field = value;
    return true;
}

bool setting_parse(const struct setting *setting, const char *text, struct settings *s,
                   struct err *err)
{
    void *field = field_of(setting, s);
    switch (setting->type) {
    case SETTING_STRING:
    case SETTING_URL:
        return parse_string(setting, text, field, err);
    case SETTING_BOOL:
        return parse_bool(text, field, err);
    case SETTING_INT:
    case SETTING_BYTES:
    case SETTING_DURATION:
        return parse_number(setting, text, field, err);
    case SETTING_LIST:
        return parse_list(text, field, err);
    case SETTING_ENUM:
        return parse_enum(setting, text, field, err);
    }
    return err_set(err, ERR_FATAL, "the setting %s has no type", setting->name);
}

char *setting_text(const struct setting *setting, const struct settings *s)
{
    const void *field = const_field_of(setting, s);
    switch (setting->type) {
    case SETTING_STRING:
        return str_dup(*(char *const *)field);
    case SETTING_URL:
        return redact_url(*(char *const *)field);
    case SETTING_BOOL:
        return str_dup(*(const bool *)field ? "true" : "false");
    case SETTING_INT:
        return number_text(setting, *(const int *)field);
    case SETTING_BYTES:
    case SETTING_DURATION:
        return number_text(setting, *(const int64_t *)field);
    case SETTING_LIST:
        return strv_join(field, ", ");
    case SETTING_ENUM:
        return str_dup(setting->choices[*(const int *)field]);
    }
    return str_dup("");
}

void setting_release(const struct setting *setting, struct settings *s)
{
    void *field = field_of(setting, s);
    if (setting->type == SETTING_STRING || setting->type == SETTING_URL)
        str_wipe(field);
    else if (setting->type == SETTING_LIST)
        strv_release(field);
}

char *setting_canonical(const struct setting *setting, const char *text)
{
    struct settings scratch = {0};
    struct err err = {0};
    char *canonical = NULL;
    if (setting_parse(setting, text, &scratch, &err))
        canonical = setting->type == SETTING_URL ? str_dup(text) : setting_text(setting, &scratch);
    setting_release(setting, &scratch);
    return canonical;
}
