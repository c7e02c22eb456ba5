/* Environment names of the table's rows: finding them, and the one that was probably meant. */
#include "conf/names.h"

#include <string.h>

#include "base/mem.h"
#include "conf/suggest.h"

static const char our_prefix[] = "TRUNKLINE_";
static const char pgstream_prefix[] = "PGSTREAM_";
static const char database_word[] = "POSTGRES_";

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const char *env_rest(const char *name)
{
    if (has_prefix(name, our_prefix))
        return name + strlen(our_prefix);
    return has_prefix(name, pgstream_prefix) ? name + strlen(pgstream_prefix) : NULL;
}

static bool has_name(const struct setting *setting, const char *name)
{
    AUTO(str_free) char *own = setting_env(setting);
    const char *rest = env_rest(name);
    for (size_t i = 0; rest && setting->names && setting->names[i]; i++)
        if (strcmp(setting->names[i], rest) == 0)
            return true;
    return strcmp(own, name) == 0;
}

int setting_by_env(const char *name)
{
    for (size_t i = 0; i < settings_count; i++)
        if (!settings_table[i].is_flag_only && has_name(&settings_table[i], name))
            return (int)i;
    return -1;
}

/* The nearest name so far. */
struct nearest {
    size_t limit; /* a distance below it is nearer */
    char *name;   /* owned; NULL: none yet */
};

static void consider(struct nearest *nearest, size_t distance, const char *prefix, const char *name)
{
    if (distance >= nearest->limit)
        return;
    nearest->limit = distance;
    str_set(&nearest->name, str_fmt("%s%s", prefix, name));
}

/* One of pgstream's names: also with POSTGRES_ left out, and without any prefix. */
static void consider_further(struct nearest *nearest, const char *name, const char *known)
{
    const char *rest = env_rest(name);
    AUTO(str_free) char *prefix = rest ? str_dup_n(name, (size_t)(rest - name)) : NULL;
    AUTO(str_free) char *completed = rest ? str_fmt("%s%s", database_word, rest) : NULL;
    if (rest) {
        consider(nearest, word_distance(rest, known), prefix, known);
        consider(nearest, word_distance(completed, known), prefix, known);
    } else {
        AUTO(str_free) char *full = str_fmt("%s%s", pgstream_prefix, known);
        consider(nearest, word_distance(name, full), "", full);
        if (strcmp(name, known) == 0)
            consider(nearest, 0, pgstream_prefix, known);
    }
}

char *nearest_env(const char *name)
{
    const char *rest = env_rest(name);
    struct nearest nearest = {.limit = word_tolerance(rest ? strlen(rest) : 6) + 1};
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->is_flag_only)
            continue;
        AUTO(str_free) char *own = setting_env(setting);
        consider(&nearest, rest ? word_distance(rest, env_rest(own)) : word_distance(name, own), "",
                 own);
        for (size_t n = 0; setting->names && setting->names[n]; n++)
            consider_further(&nearest, name, setting->names[n]);
    }
    return nearest.name;
}

char *setting_env_of(const struct setting *setting, const char *program)
{
    if (strcmp(program, "pgstream") == 0 && setting->names)
        return str_fmt("%s%s", pgstream_prefix, setting->names[0]);
    return setting_env(setting);
}
