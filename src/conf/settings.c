/* Reading: the table's defaults, then the file, the environment and the flags over one another.
 * All mistakes are collected before anything is refused. Runs in the main thread, once. */
#include "conf/settings.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/env_file.h"
#include "conf/redact.h"
#include "conf/setting.h"
#include "conf/suggest.h"

enum { OPTION_CONFIG = 'c', OPTION_HELP = 'h', OPTION_FIRST = 1000 };

static const char env_prefix[] = "TRUNKLINE_";

struct settings_origin {
    char *text;
};

/* What reading needs beside the settings. */
struct reader {
    struct settings *s; /* borrowed: the caller's */
    unsigned command;
    const char *command_name;
    char **flags;     /* owned: the text of each setting given as a flag, else NULL */
    bool *has_failed; /* owned: whether a value of the setting was refused */
    char *config;     /* owned: the file's path, or NULL */
    struct strv problems;
};

static void reader_release(struct reader *r)
{
    for (size_t i = 0; r->flags && i < settings_count; i++)
        str_wipe(&r->flags[i]);
    free(r->flags);
    free(r->has_failed);
    str_free(&r->config);
    strv_release(&r->problems);
}

static void origin_set(struct settings *s, size_t index, char *take_text)
{
    str_set(&s->origins[index].text, take_text);
}

const char *setting_origin(const struct setting *setting, const struct settings *s)
{
    return s->origins[setting - settings_table].text;
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

static bool read_defaults(struct settings *s, struct err *err)
{
    s->origins = mem_alloc(settings_count * sizeof(*s->origins));
    for (size_t i = 0; i < settings_count; i++) {
        if (!setting_parse(&settings_table[i], settings_table[i].def, s, err))
            return err_wrap(err, "default of %s", settings_table[i].name);
        origin_set(s, i, str_dup("default"));
    }
    return true;
}

/* Puts the value in place, or adds "where: what" to the problems. */
static void apply(struct reader *r, size_t index, const char *value, const char *where,
                  char *take_origin)
{
    AUTO(str_free) char *origin = take_origin;
    struct err err = {0};
    if (setting_parse(&settings_table[index], value, r->s, &err)) {
        origin_set(r->s, index, TAKE(origin));
    } else {
        r->has_failed[index] = true;
        strv_take(&r->problems, str_fmt("%s: %s", where, err.text));
    }
}

/* The environment name nearest to a mistyped one; the caller owns it. NULL: none is near. */
static char *nearest_env(const char *name)
{
    char *best = NULL;
    bool has_prefix = strncmp(name, env_prefix, sizeof(env_prefix) - 1) == 0;
    size_t length = has_prefix ? strlen(name) - (sizeof(env_prefix) - 1) : 6;
    size_t limit = word_tolerance(length) + 1;
    for (size_t i = 0; i < settings_count; i++) {
        if (settings_table[i].is_flag_only)
            continue;
        AUTO(str_free) char *env = setting_env(&settings_table[i]);
        size_t distance = word_distance(name, env);
        if (distance < limit) {
            limit = distance;
            str_set(&best, TAKE(env));
        }
    }
    return best;
}

/* A name of the file that is no setting. Names that resemble none belong to other programs. */
static void refuse_env_name(struct reader *r, const struct env_entry *entry)
{
    AUTO(str_free) char *near = nearest_env(entry->name);
    if (near)
        strv_take(&r->problems,
                  str_fmt("%s:%zu:%zu: unknown setting %s; did you mean %s?", r->config,
                          entry->line, entry->name_column, entry->name, near));
    else if (strncmp(entry->name, env_prefix, sizeof(env_prefix) - 1) == 0)
        strv_take(&r->problems, str_fmt("%s:%zu:%zu: unknown setting %s", r->config, entry->line,
                                        entry->name_column, entry->name));
}

static const struct env_entry *earlier_entry(const struct env_file *file, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(file->items[i].name, file->items[index].name) == 0)
            return &file->items[i];
    return NULL;
}

static void read_file(struct reader *r)
{
    AUTO(env_file_release) struct env_file file = ENV_FILE_INIT;
    env_file_read(r->config, &file, &r->problems);
    for (size_t i = 0; i < file.count; i++) {
        const struct env_entry *entry = &file.items[i];
        int index = setting_by_env(entry->name);
        const struct env_entry *earlier = index < 0 ? NULL : earlier_entry(&file, i);
        if (index < 0) {
            refuse_env_name(r, entry);
        } else if (earlier) {
            strv_take(&r->problems,
                      str_fmt("%s:%zu:%zu: %s is set on line %zu already", r->config, entry->line,
                              entry->name_column, entry->name, earlier->line));
        } else {
            AUTO(str_free)
            char *where =
                str_fmt("%s:%zu:%zu: %s", r->config, entry->line, entry->value_column, entry->name);
            apply(r, (size_t)index, entry->value, where, str_fmt("%s:%zu", r->config, entry->line));
        }
    }
}

static void read_environment(struct reader *r)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->is_flag_only || !(setting->commands & r->command))
            continue;
        AUTO(str_free) char *env = setting_env(setting);
        const char *value = getenv(env);
        if (value)
            apply(r, i, value, env, str_fmt("environment %s", env));
    }
}

static void apply_flags(struct reader *r)
{
    for (size_t i = 0; i < settings_count; i++) {
        if (!r->flags[i])
            continue;
        AUTO(str_free) char *flag = setting_flag(&settings_table[i]);
        AUTO(str_free) char *where = str_fmt("--%s", flag);
        apply(r, i, r->flags[i], where, str_fmt("flag --%s", flag));
    }
}

/* Overwrites the password of a URL in the argument itself: `ps` shows that memory. */
static void hide_password(char *arg)
{
    AUTO(str_free) char *shown = redact_url(arg);
    size_t len = strlen(arg);
    if (strcmp(shown, arg) == 0)
        return;
    memset(arg, '*', len);
    if (strlen(shown) <= len) {
        memset(arg, '\0', len);
        memcpy(arg, shown, strlen(shown));
    }
}

/* Keeps one flag's text. A list given several times is one list. */
static void keep_flag(struct reader *r, size_t index, char *arg)
{
    const struct setting *setting = &settings_table[index];
    char **kept = &r->flags[index];
    if (setting->type == SETTING_LIST && *kept)
        str_set(kept, str_fmt("%s,%s", *kept, arg));
    else if (setting->type == SETTING_BOOL && !arg)
        str_set(kept, str_dup("true"));
    else
        str_set(kept, str_dup(arg));
    if (setting->type == SETTING_URL)
        hide_password(arg);
}

/* The flag of this command nearest to a mistyped one; owned by the caller. NULL: none is near. */
static char *nearest_flag(const struct reader *r, const char *flag)
{
    char *best = NULL;
    size_t limit = word_tolerance(strlen(flag)) + 1;
    for (size_t i = 0; i < settings_count; i++) {
        AUTO(str_free) char *known = setting_flag(&settings_table[i]);
        size_t distance = word_distance(flag, known);
        if ((settings_table[i].commands & r->command) && distance < limit) {
            limit = distance;
            str_set(&best, TAKE(known));
        }
    }
    return best;
}

static bool is_flag_of_others(const char *flag)
{
    for (size_t i = 0; i < settings_count; i++) {
        AUTO(str_free) char *known = setting_flag(&settings_table[i]);
        if (strcmp(known, flag) == 0)
            return true;
    }
    return false;
}

/* An argument that getopt did not take. What stands behind '=' may be a password. */
static void refuse_option(struct reader *r, const char *arg)
{
    if (strncmp(arg, "--", 2) != 0) {
        strv_take(&r->problems, str_fmt("unknown option -%c", optopt));
        return;
    }
    AUTO(str_free) char *flag = str_dup_n(arg + 2, strcspn(arg + 2, "="));
    AUTO(str_free) char *near = nearest_flag(r, flag);
    if (near && strcmp(near, flag) != 0)
        strv_take(&r->problems, str_fmt("unknown option --%s; did you mean --%s?", flag, near));
    else if (is_flag_of_others(flag))
        strv_take(&r->problems, str_fmt("--%s is not an option of %s", flag, r->command_name));
    else
        strv_take(&r->problems, str_fmt("unknown option --%s", flag));
}

/* getopt's form of the table, for one command; ends in a row of zeros. names owns the texts. */
static struct option *make_options(unsigned command, struct strv *names)
{
    struct option *options = mem_alloc((settings_count + 3) * sizeof(*options));
    size_t count = 0;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!(setting->commands & command))
            continue;
        strv_take(names, setting_flag(setting));
        options[count++] = (struct option){
            .name = names->items[names->count - 1],
            .has_arg = setting->type == SETTING_BOOL ? optional_argument : required_argument,
            .val = OPTION_FIRST + (int)i,
        };
    }
    options[count++] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[count++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    return options;
}

static void free_options(struct option **options)
{
    free(*options);
}

static void parse_flags(struct reader *r, int argc, char **argv)
{
    AUTO(strv_release) struct strv names = STRV_INIT;
    AUTO(free_options) struct option *options = make_options(r->command, &names);
    int option;
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
        if (option == OPTION_CONFIG)
            str_set(&r->config, str_dup(optarg));
        else if (option == OPTION_HELP)
            r->s->wants_help = true;
        else if (option == ':')
            strv_take(&r->problems, str_fmt("%s needs a value", argv[optind - 1]));
        else if (option == '?')
            refuse_option(r, argv[optind - 1]);
        else
            keep_flag(r, (size_t)(option - OPTION_FIRST), optarg);
    }
    for (int i = optind; i < argc; i++) {
        AUTO(str_free) char *shown = redact_url(argv[i]);
        strv_take(&r->problems, str_fmt("unexpected argument \"%s\"", shown));
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
        AUTO(str_free) char *env = setting_env(setting);
        strv_take(&r->problems,
                  str_fmt("%s is not set: give --%s or %s", setting->name, flag, env));
    }
}

/* What follows from what was given. */
static void derive(struct settings *s)
{
    if (!s->keeper_schema[0])
        str_set(&s->keeper_schema, str_dup(s->program));
    if (s->mode == MODE_AUTO)
        s->mode = MODE_SNAPSHOT_AND_REPLICATION;
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

/* As many of the problems as the error's text holds, in their order. */
static bool report(const struct strv *problems, struct err *err)
{
    enum { ROOM_FOR_REST = 40 };
    AUTO(buf_release) struct buf text = BUF_INIT;
    size_t i = 0;
    for (; i < problems->count; i++) {
        size_t needed = text.len + strlen(problems->items[i]) + 2;
        if (i > 0 && needed > sizeof(err->text) - ROOM_FOR_REST)
            break;
        buf_fmt(&text, "%s%s", i ? "; " : "", problems->items[i]);
    }
    if (i < problems->count)
        buf_fmt(&text, "; and %zu more", problems->count - i);
    return err_set(err, ERR_CONFIG, "%s", buf_text(&text));
}

bool settings_read(struct settings *s, unsigned command, int argc, char **argv, struct err *err)
{
    AUTO(reader_release)
    struct reader r = {.s = s, .command = command, .command_name = argv[0]};
    r.flags = mem_alloc(settings_count * sizeof(*r.flags));
    r.has_failed = mem_alloc(settings_count * sizeof(*r.has_failed));
    if (!read_defaults(s, err))
        return false;
    parse_flags(&r, argc, argv);
    if (s->wants_help)
        return true;
    if (r.config)
        read_file(&r);
    read_environment(&r);
    apply_flags(&r);
    check_required(&r);
    derive(s);
    str_set(&s->config_file, TAKE(r.config));
    return r.problems.count == 0 || report(&r.problems, err);
}

bool settings_reread_level(const struct settings *s, enum log_level *ret_level, bool *ret_is_set,
                           struct err *err)
{
    AUTO(settings_release) struct settings now = {.program = s->program};
    AUTO(reader_release)
    struct reader r = {.s = &now, .command = COMMAND_RUN, .command_name = "run"};
    r.flags = mem_alloc(settings_count * sizeof(*r.flags));
    r.has_failed = mem_alloc(settings_count * sizeof(*r.has_failed));
    if (!read_defaults(&now, err))
        return false;
    if (s->config_file) {
        r.config = str_dup(s->config_file);
        read_file(&r);
    }
    read_environment(&r);
    if (r.problems.count > 0)
        return report(&r.problems, err);
    size_t index = 0;
    while (settings_table[index].offset != offsetof(struct settings, log_level))
        index++;
    *ret_is_set = strcmp(now.origins[index].text, "default") != 0;
    if (*ret_is_set)
        *ret_level = now.log_level;
    return true;
}
