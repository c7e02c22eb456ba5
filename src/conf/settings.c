/* Reading: the table's defaults, then the file, the environment and the flags over one another.
 * All mistakes are collected before anything is refused. Runs in the main thread, once; the log
 * level is read again there after a SIGHUP. */
#include "conf/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/names.h"
#include "conf/reader.h"
#include "conf/setting.h"

struct settings_origin {
    char *text;
};

static void reader_release(struct reader *r)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        given_list_release(&r->levels[i]);
    free(r->has_failed);
    str_free(&r->config);
}

void origin_set(struct settings *s, size_t index, char *take_text)
{
    str_set(&s->origins[index].text, take_text);
}

const char *setting_origin(const struct setting *setting, const struct settings *s)
{
    return s->origins[setting - settings_table].text;
}

const char *settings_origin(const struct settings *s, const char *name)
{
    return s->origins[setting_index(name)].text;
}

void settings_release(struct settings *s)
{
    for (size_t i = 0; i < settings_count; i++) {
        setting_release(&settings_table[i], s);
        if (s->origins)
            str_free(&s->origins[i].text);
    }
    free(s->origins);
    str_free(&s->config_file);
    *s = SETTINGS_INIT;
}

static bool read_defaults(struct settings *s, struct strv *problems)
{
    s->origins = mem_alloc(settings_count * sizeof(*s->origins));
    for (size_t i = 0; i < settings_count; i++) {
        struct err err = {0};
        origin_set(s, i, str_dup("default"));
        if (!setting_parse(&settings_table[i], settings_table[i].def, s, &err))
            strv_take(problems, str_fmt("default of %s: %s", settings_table[i].name, err.text));
    }
    return problems->count == 0;
}

/* Puts the value in place, or notes what is wrong with it. */
static void apply(struct reader *r, const struct given *given)
{
    struct err err = {0};
    if (setting_parse(&settings_table[given->index], given->value, r->s, &err)) {
        origin_set(r->s, given->index, str_dup(given->origin));
    } else {
        r->has_failed[given->index] = true;
        strv_take(r->problems, str_fmt("%s: %s", given->where, err.text));
    }
}

/* A second value at the same level, under the same name or another: it has to be the same. */
static void compare(struct reader *r, const struct given *given, const struct given *first)
{
    const struct setting *setting = &settings_table[given->index];
    AUTO(str_wipe) char *value = setting_canonical(setting, given->value);
    AUTO(str_wipe) char *first_value = setting_canonical(setting, first->value);
    if (!value)
        apply(r, given);
    else if (first_value && strcmp(value, first_value) != 0)
        strv_take(r->problems, str_fmt("%s and %s set %s to different values; keep one of them",
                                       given->where, first->origin, setting->name));
}

/* An empty variable is how shells and compose files write one that is not set; of texts and lists
 * it is the empty value as well. */
static bool is_unset(const struct given *given)
{
    switch (settings_table[given->index].type) {
    case SETTING_STRING:
    case SETTING_URL:
    case SETTING_LIST:
        return false;
    case SETTING_BOOL:
    case SETTING_INT:
    case SETTING_BYTES:
    case SETTING_DURATION:
    case SETTING_ENUM:
        return *given->value == '\0';
    }
    return false;
}

/* What is empty sets nothing beside a value of the same level. */
static void apply_level(struct reader *r, enum level level)
{
    const struct given_list *list = &r->levels[level];
    for (size_t i = 0; i < list->count; i++) {
        const struct given *given = &list->items[i];
        const struct given *first = given_find(list, given->index, NULL);
        if (level != LEVEL_FLAGS && is_unset(given))
            continue;
        if (!first || first == given)
            apply(r, given);
        else if (*given->value)
            compare(r, given, first);
    }
}

static bool is_set(const struct setting *setting, const struct settings *s)
{
    AUTO(str_free) char *text = setting_text(setting, s);
    return *text != '\0';
}

static void check_required(struct reader *r)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!(setting->required & r->command) || is_set(setting, r->s) || r->has_failed[i])
            continue;
        AUTO(str_free) char *flag = setting_flag(setting);
        AUTO(str_free) char *env = setting_env_of(setting, r->s->program);
        strv_take(r->problems, str_fmt("%s is not set: give --%s or %s", setting->name, flag, env));
    }
}

int settings_copiers(const struct settings *s)
{
    int64_t workers = (int64_t)s->snapshot_workers * s->schema_workers * s->table_workers;
    return (int)MIN_OF(workers, (int64_t)s->copiers);
}

int64_t settings_part_size(const struct settings *s, int64_t block_size)
{
    return s->batch_page_size ? s->batch_page_size * block_size : s->part_size;
}

/* What file and environment say, into r. */
static void read_files(struct reader *r)
{
    if (r->config)
        read_file(r);
    read_environment(r);
    for (int level = LEVEL_FILE; level < LEVEL_COUNT; level++)
        apply_level(r, (enum level)level);
}

bool settings_read(struct settings *s, unsigned command, int argc, char **argv,
                   struct strv *problems)
{
    AUTO(reader_release)
    struct reader r = {.s = s, .command = command, .command_name = argv[0], .problems = problems};
    r.has_failed = mem_alloc(settings_count * sizeof(*r.has_failed));
    if (!read_defaults(s, problems))
        return false;
    read_flags(&r, argc, argv);
    if (s->wants_help) {
        strv_release(problems);
        return true;
    }
    read_files(&r);
    derive_settings(&r);
    check_required(&r);
    str_set(&s->config_file, TAKE(r.config));
    return problems->count == 0;
}

bool settings_reread_level(const struct settings *s, enum log_level *ret_level, bool *ret_is_set,
                           struct err *err)
{
    AUTO(settings_release) struct settings now = {.program = s->program};
    AUTO(strv_release) struct strv problems = STRV_INIT;
    AUTO(reader_release)
    struct reader r = {
        .s = &now, .command = COMMAND_RUN, .command_name = "run", .problems = &problems};
    r.has_failed = mem_alloc(settings_count * sizeof(*r.has_failed));
    r.config = str_dup(s->config_file);
    if (read_defaults(&now, &problems))
        read_files(&r);
    if (problems.count > 0) {
        AUTO(str_free) char *text = strv_join(&problems, "; ");
        return err_set(err, ERR_CONFIG, "%s", text);
    }
    *ret_is_set = reader_find(&r, "log_level") != NULL;
    if (*ret_is_set)
        *ret_level = now.log_level;
    return true;
}
