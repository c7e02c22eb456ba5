/* The file of --config as a level of settings: YAML by its ending, else NAME=value lines. What
 * pgstream has and trunkline does not is gathered into one mistake. */
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/env_file.h"
#include "conf/names.h"
#include "conf/paths.h"
#include "conf/reader.h"
#include "conf/setting.h"
#include "conf/unsupported.h"
#include "conf/yaml_file.h"

/* Keys that are not supported, gathered; empty: none yet. */
struct refused {
    char *first_place; /* owned */
    struct buf keys;
};

static void refused_release(struct refused *refused)
{
    str_free(&refused->first_place);
    buf_release(&refused->keys);
}

static void refused_add(struct refused *refused, const char *file, const char *key, size_t line,
                        size_t column)
{
    if (!refused->first_place)
        refused->first_place = str_fmt("%s:%zu:%zu", file, line, column);
    buf_fmt(&refused->keys, "%s%s (line %zu)", refused->keys.len ? ", " : "", key, line);
}

static void refused_report(const struct refused *refused, struct strv *problems)
{
    if (refused->first_place)
        strv_take(problems, str_fmt("%s: these settings of pgstream are not supported: %s; "
                                    "hint: remove them",
                                    refused->first_place, buf_text(&refused->keys)));
}

static void take_env_value(struct reader *r, size_t index, struct env_entry *entry)
{
    if (entry->problem) {
        strv_take(r->problems, str_fmt("%s:%zu:%zu: %s: %s", r->config, entry->line,
                                       entry->problem_column, entry->name, entry->problem));
        r->has_failed[index] = true;
        return;
    }
    given_add(&r->levels[LEVEL_FILE],
              &(struct given){
                  .index = index,
                  .name = str_dup(entry->name),
                  .value = str_dup(entry->value),
                  .where = str_fmt("%s:%zu:%zu: %s", r->config, entry->line, entry->value_column,
                                   entry->name),
                  .origin = str_fmt("%s:%zu %s", r->config, entry->line, entry->name),
              });
}

/* A name that is no setting. Names that resemble none belong to other programs. */
static void judge_env_name(struct reader *r, const struct env_entry *entry, struct refused *refused)
{
    const char *rest = env_rest(entry->name);
    enum support support = rest ? support_of_env(rest, entry->value) : SUPPORT_UNKNOWN;
    if (support == SUPPORT_NONE && *entry->value)
        refused_add(refused, r->config, entry->name, entry->line, entry->name_column);
    if (support != SUPPORT_UNKNOWN)
        return;
    AUTO(str_free) char *near = nearest_env(entry->name);
    if (near || rest)
        strv_take(r->problems,
                  str_fmt("%s:%zu:%zu: unknown setting %s%s%s%s", r->config, entry->line,
                          entry->name_column, entry->name, near ? "; did you mean " : "",
                          near ? near : "", near ? "?" : ""));
}

static void read_env(struct reader *r)
{
    AUTO(env_file_release) struct env_file file = ENV_FILE_INIT;
    AUTO(refused_release) struct refused refused = {0};
    env_file_read(r->config, &file, r->problems);
    for (size_t i = 0; i < file.count; i++) {
        int index = setting_by_env(file.items[i].name);
        if (index < 0)
            judge_env_name(r, &file.items[i], &refused);
        else
            take_env_value(r, (size_t)index, &file.items[i]);
    }
    refused_report(&refused, r->problems);
}

static void complain(struct reader *r, const struct yaml_entry *entry, const char *what)
{
    strv_take(r->problems, str_fmt("%s:%zu:%zu: %s: %s", r->config, entry->value_line,
                                   entry->value_column, entry->path, what));
}

/* The value as text that every file could hold: a bare number may be milliseconds. */
static char *yaml_text(const struct setting *setting, const struct yaml_entry *entry)
{
    bool is_number = entry->is_plain && *entry->value &&
                     strspn(entry->value, "0123456789") == strlen(entry->value);
    return str_fmt("%s%s", entry->value, is_number && setting->is_bare_ms ? "ms" : "");
}

static void take_yaml_value(struct reader *r, size_t index, const struct yaml_entry *entry)
{
    const struct setting *setting = &settings_table[index];
    const char *problem = NULL;
    if (yaml_entry_is_null(entry))
        return;
    if (entry->kind == ENTRY_KEYS || entry->kind == ENTRY_OTHER)
        problem = setting->type == SETTING_LIST ? "expected a list of names" : "expected a value";
    else if (entry->kind == ENTRY_LIST && setting->type != SETTING_LIST)
        problem = "expected one value, not a list";
    if (problem || entry->problem) {
        complain(r, entry, problem ? problem : entry->problem);
        r->has_failed[index] = true;
        return;
    }
    given_add(&r->levels[LEVEL_FILE],
              &(struct given){
                  .index = index,
                  .name = str_dup(entry->path),
                  .value = yaml_text(setting, entry),
                  .where = str_fmt("%s:%zu:%zu: %s", r->config, entry->value_line,
                                   entry->value_column, entry->path),
                  .origin = str_fmt("%s:%zu %s", r->config, entry->line, entry->path),
              });
}

/* A key that is no setting. Whether what stands below it should be looked at. */
static bool judge_yaml_key(struct reader *r, const struct yaml_entry *entry,
                           struct refused *refused)
{
    const char *value = entry->kind == ENTRY_VALUE ? entry->value : NULL;
    enum support support = support_of_path(entry->path, value);
    bool is_null = yaml_entry_is_null(entry);
    if (support != SUPPORT_UNKNOWN) {
        if (support == SUPPORT_NONE && !is_null)
            refused_add(refused, r->config, entry->path, entry->line, entry->column);
        return false;
    }
    if (path_is_inner(entry->path)) {
        if (entry->kind != ENTRY_KEYS && !is_null)
            complain(r, entry, "expected keys below it, not a value");
        return entry->kind == ENTRY_KEYS;
    }
    AUTO(str_free) char *near = nearest_path(entry->path);
    strv_take(r->problems, str_fmt("%s:%zu:%zu: unknown key %s%s%s%s", r->config, entry->line,
                                   entry->column, entry->path, near ? "; did you mean " : "",
                                   near ? near : "", near ? "?" : ""));
    return false;
}

static bool is_below(const char *path, const char *above)
{
    size_t len = strlen(above);
    return strncmp(path, above, len) == 0 && path[len] == '.';
}

static void read_yaml(struct reader *r)
{
    AUTO(yaml_file_release) struct yaml_file file = YAML_FILE_INIT;
    AUTO(refused_release) struct refused refused = {0};
    const char *skipped = NULL; /* what stands below this path has been judged with it */
    yaml_file_read(r->config, &file, r->problems);
    for (size_t i = 0; i < file.count; i++) {
        const struct yaml_entry *entry = &file.items[i];
        int index = setting_by_path(entry->path);
        if (skipped && is_below(entry->path, skipped))
            continue;
        skipped = NULL;
        if (index >= 0)
            take_yaml_value(r, (size_t)index, entry);
        if (index >= 0 || !judge_yaml_key(r, entry, &refused))
            skipped = entry->path;
    }
    refused_report(&refused, r->problems);
}

static bool ends_in(const char *path, const char *ending)
{
    size_t len = strlen(path);
    return len > strlen(ending) && strcasecmp(path + len - strlen(ending), ending) == 0;
}

void read_file(struct reader *r)
{
    if (ends_in(r->config, ".yaml") || ends_in(r->config, ".yml"))
        read_yaml(r);
    else
        read_env(r);
}
