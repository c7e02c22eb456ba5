/* The process's environment as a level of settings. Names that resemble none of ours or pgstream's
 * belong to other programs. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/names.h"
#include "conf/reader.h"
#include "conf/setting.h"
#include "conf/unsupported.h"

static void take_variable(struct reader *r, size_t index, const char *name, const char *value)
{
    given_add(&r->levels[LEVEL_ENVIRONMENT],
              &(struct given){.index = index,
                              .name = str_dup(name),
                              .value = str_dup(value),
                              .where = str_dup(name),
                              .origin = str_fmt("environment %s", name)});
}

/* A variable with one of our prefixes that no setting has. */
static void judge_unknown(struct reader *r, const char *name, const char *value,
                          struct strv *unsupported)
{
    AUTO(str_free) char *near = NULL;
    switch (support_of_env(env_rest(name), value)) {
    case SUPPORT_NONE:
        strv_add(unsupported, name);
        break;
    case SUPPORT_NEEDLESS:
        break;
    case SUPPORT_UNKNOWN:
        near = nearest_env(name);
        if (near)
            strv_take(
                r->problems,
                str_fmt("unknown setting %s in the environment; did you mean %s?", name, near));
        break;
    }
}

void read_environment(struct reader *r)
{
    AUTO(strv_release) struct strv unsupported = STRV_INIT;
    bool has_source = settings_table[setting_index("source")].commands & r->command;
    for (char **variable = environ; *variable; variable++) {
        const char *value = strchr(*variable, '=');
        AUTO(str_free) char *name = str_dup_n(*variable, strcspn(*variable, "="));
        if (!value || !env_rest(name))
            continue;
        int index = setting_by_env(name);
        if (index >= 0 && (settings_table[index].commands & r->command))
            take_variable(r, (size_t)index, name, value + 1);
        else if (index < 0 && has_source && value[1])
            judge_unknown(r, name, value + 1, &unsupported);
    }
    if (unsupported.count > 0) {
        AUTO(str_free) char *names = strv_join(&unsupported, ", ");
        strv_take(r->problems,
                  str_fmt("these settings of pgstream in the environment are not supported: %s; "
                          "hint: unset them",
                          names));
    }
}
