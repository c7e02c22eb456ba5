/* Output made from the table: the settings in force with their origins, and a command's options. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/setting.h"
#include "conf/settings.h"

enum { PRINT_VERSION = 1, HELP_COLUMN = 32, HELP_WIDTH = 96 };

static bool is_printed(const struct setting *setting, unsigned command)
{
    return (setting->commands & command) && !setting->is_flag_only;
}

/* Numbers without a unit and booleans are JSON's own; lists are arrays; all else is text. */
static json_t *value_json(const struct setting *setting, const struct settings *s)
{
    AUTO(str_free) char *text = setting_text(setting, s);
    const void *field = (const char *)s + setting->offset;
    if (setting->type == SETTING_INT)
        return json_integer(*(const int *)field);
    if (setting->type == SETTING_BOOL)
        return json_boolean(*(const bool *)field);
    if (setting->type != SETTING_LIST)
        return json_string(text);
    const struct strv *list = field;
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static void print_json(const struct settings *s, unsigned command, FILE *out)
{
    json_t *all = json_object();
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!is_printed(setting, command))
            continue;
        json_t *one = json_object();
        (void)json_object_set_new(one, "value", value_json(setting, s));
        (void)json_object_set_new(one, "origin", json_string(setting_origin(setting, s)));
        (void)json_object_set_new(all, setting->name, one);
    }
    json_t *root = json_object();
    (void)json_object_set_new(root, "version", json_integer(PRINT_VERSION));
    (void)json_object_set_new(root, "settings", all);
    (void)json_dumpf(root, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(root);
}

void settings_print(const struct settings *s, unsigned command, bool as_json, FILE *out)
{
    if (as_json) {
        print_json(s, command, out);
        return;
    }
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!is_printed(setting, command))
            continue;
        AUTO(str_free) char *value = setting_text(setting, s);
        AUTO(str_free) char *shown = str_fmt("%s = %s", setting->name, value);
        (void)fprintf(out, "%-44s  # %s\n", shown, setting_origin(setting, s));
    }
}

char *setting_word(const struct setting *setting)
{
    struct buf word = BUF_INIT;
    switch (setting->type) {
    case SETTING_URL:
        return str_dup("URL");
    case SETTING_STRING:
        return str_dup(setting->word ? setting->word : "TEXT");
    case SETTING_BOOL:
        return str_dup("");
    case SETTING_INT:
        return str_dup("N");
    case SETTING_BYTES:
        return str_dup("SIZE");
    case SETTING_DURATION:
        return str_dup("TIME");
    case SETTING_LIST:
        return str_dup("PATTERNS");
    case SETTING_ENUM:
        for (int i = 0; setting->choices[i]; i++)
            buf_fmt(&word, "%s%s", i ? "|" : "", setting->choices[i]);
        return buf_take(&word);
    }
    return str_dup("");
}

/* The option at the left, its text wrapped at the right; on the next line when too long. */
static void print_option(const char *option, const char *text, FILE *out)
{
    int used = fprintf(out, "  %s", option);
    if (used >= HELP_COLUMN)
        (void)fputc('\n', out);
    bool is_first = used < HELP_COLUMN;
    size_t width = HELP_WIDTH - HELP_COLUMN;
    while (*text) {
        size_t len = strlen(text);
        if (len > width)
            for (len = width; len > 0 && text[len] != ' '; len--)
                ;
        if (len == 0)
            len = strcspn(text, " ");
        int pad = is_first ? HELP_COLUMN - used : HELP_COLUMN;
        (void)fprintf(out, "%*s%.*s\n", pad, "", (int)len, text);
        is_first = false;
        text += len + (text[len] == ' ');
    }
}

/* All that a user may write instead of the flag: "[TRUNKLINE_SLOT, …]". */
static void put_names(const struct setting *setting, struct buf *text)
{
    AUTO(str_free) char *env = setting_env(setting);
    if (setting->is_flag_only)
        return;
    buf_fmt(text, " [%s", env);
    for (size_t i = 0; setting->names && setting->names[i]; i++)
        buf_fmt(text, ", PGSTREAM_%s", setting->names[i]);
    buf_puts(text, "]");
}

static void print_setting(const struct setting *setting, unsigned command, FILE *out)
{
    AUTO(str_free) char *flag = setting_flag(setting);
    AUTO(str_free) char *word = setting_word(setting);
    AUTO(str_free) char *option = str_fmt("--%s%s%s", flag, *word ? " " : "", word);
    AUTO(buf_release) struct buf text = BUF_INIT;
    buf_puts(&text, setting->help);
    for (size_t i = 0; setting->flags && setting->flags[i]; i++)
        buf_fmt(&text, "%s--%s", i ? ", " : "; also ", setting->flags[i]);
    if (setting->required & command)
        buf_puts(&text, " (required)");
    else if (*setting->def && setting->type != SETTING_BOOL)
        buf_fmt(&text, " (default: %s)", setting->def);
    put_names(setting, &text);
    print_option(option, buf_text(&text), out);
}

void settings_help(unsigned command, FILE *out)
{
    for (size_t i = 0; i < settings_count; i++)
        if (settings_table[i].commands & command)
            print_setting(&settings_table[i], command, out);
    print_option("-c, --config FILE",
                 "read settings from a YAML file (.yaml, .yml) or one of NAME=value lines; the "
                 "environment and flags win over it",
                 out);
    print_option("-h, --help", "show this", out);
}
