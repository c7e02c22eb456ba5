/* The command line as a level of settings: getopt with options made from the table. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/reader.h"
#include "conf/redact.h"
#include "conf/setting.h"
#include "conf/suggest.h"

enum { OPTION_CONFIG = 'c', OPTION_HELP = 'h', OPTION_FIRST = 1000 };

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

static struct given *find_same(struct given_list *list, size_t index, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].index == index && strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

/* Keeps one flag's text. Given again under the same name, a list goes on and others are replaced.
 */
static void keep_flag(struct reader *r, size_t index, const char *flag, char *arg)
{
    const struct setting *setting = &settings_table[index];
    AUTO(str_free) char *name = str_fmt("--%s", flag);
    AUTO(str_wipe) char *value = str_dup(arg ? arg : "true");
    struct given *same = find_same(&r->levels[LEVEL_FLAGS], index, name);
    if (same && setting->type == SETTING_LIST) {
        str_set(&same->value, str_fmt("%s,%s", same->value, value));
    } else if (same) {
        str_wipe(&same->value);
        same->value = TAKE(value);
    } else {
        given_add(&r->levels[LEVEL_FLAGS], &(struct given){.index = index,
                                                           .name = str_dup(name),
                                                           .value = TAKE(value),
                                                           .where = str_dup(name),
                                                           .origin = str_fmt("flag %s", name)});
    }
    if (setting->type == SETTING_URL)
        hide_password(arg);
}

/* The flag of that number of a setting, owned by the caller; NULL behind the last. */
static char *flag_of(const struct setting *setting, size_t number)
{
    if (number == 0)
        return setting_flag(setting);
    return setting->flags ? str_dup(setting->flags[number - 1]) : NULL;
}

/* All flags of these commands, in the table's order; `indexes` gets the setting of each. */
static void list_flags(unsigned commands, struct strv *flags, size_t **ret_indexes)
{
    for (size_t i = 0; i < settings_count; i++) {
        char *flag;
        for (size_t n = 0;
             (settings_table[i].commands & commands) && (flag = flag_of(&settings_table[i], n));
             n++) {
            strv_take(flags, flag);
            if (ret_indexes) {
                *ret_indexes = mem_resize(*ret_indexes, flags->count, sizeof(**ret_indexes));
                (*ret_indexes)[flags->count - 1] = i;
            }
        }
    }
}

/* The flag of this command nearest to a mistyped one; owned by the caller. NULL: none is near. */
static char *nearest_flag(const struct reader *r, const char *flag)
{
    AUTO(strv_release) struct strv flags = STRV_INIT;
    const char *best = NULL;
    size_t limit = word_tolerance(strlen(flag)) + 1;
    list_flags(r->command, &flags, NULL);
    for (size_t i = 0; i < flags.count; i++) {
        size_t distance = word_distance(flag, flags.items[i]);
        if (distance < limit) {
            limit = distance;
            best = flags.items[i];
        }
    }
    return str_dup(best);
}

/* An argument that getopt did not take. What stands behind '=' may be a password. */
static void refuse_option(struct reader *r, const char *arg)
{
    if (strncmp(arg, "--", 2) != 0) {
        strv_take(r->problems, str_fmt("unknown option -%c", optopt));
        return;
    }
    AUTO(strv_release) struct strv all = STRV_INIT;
    AUTO(str_free) char *flag = str_dup_n(arg + 2, strcspn(arg + 2, "="));
    AUTO(str_free) char *near = nearest_flag(r, flag);
    list_flags(~0U, &all, NULL);
    if (near && strcmp(near, flag) != 0)
        strv_take(r->problems, str_fmt("unknown option --%s; did you mean --%s?", flag, near));
    else if (strv_has(&all, flag))
        strv_take(r->problems, str_fmt("--%s is not an option of %s", flag, r->command_name));
    else
        strv_take(r->problems, str_fmt("unknown option --%s", flag));
}

/* getopt's form of the table, for one command; ends in a row of zeros. flags owns the texts. */
static struct option *make_options(unsigned command, struct strv *flags)
{
    size_t *indexes = NULL;
    list_flags(command, flags, &indexes);
    struct option *options = mem_alloc((flags->count + 3) * sizeof(*options));
    for (size_t i = 0; i < flags->count; i++) {
        bool is_bool = settings_table[indexes[i]].type == SETTING_BOOL;
        options[i] = (struct option){
            .name = flags->items[i],
            .has_arg = is_bool ? optional_argument : required_argument,
            .val = OPTION_FIRST + (int)indexes[i],
        };
    }
    free(indexes);
    options[flags->count] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[flags->count + 1] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    return options;
}

static void free_options(struct option **options)
{
    free(*options);
}

void read_flags(struct reader *r, int argc, char **argv)
{
    AUTO(strv_release) struct strv flags = STRV_INIT;
    AUTO(free_options) struct option *options = make_options(r->command, &flags);
    int option;
    int which = 0;
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((option = getopt_long(argc, argv, ":c:h", options, &which)) != -1) {
        if (option == OPTION_CONFIG)
            str_set(&r->config, str_dup(optarg));
        else if (option == OPTION_HELP)
            r->s->wants_help = true;
        else if (option == ':')
            strv_take(r->problems, str_fmt("%s needs a value", argv[optind - 1]));
        else if (option == '?')
            refuse_option(r, argv[optind - 1]);
        else
            keep_flag(r, (size_t)(option - OPTION_FIRST), options[which].name, optarg);
    }
    for (int i = optind; i < argc; i++) {
        AUTO(str_free) char *shown = redact_url(argv[i]);
        strv_take(r->problems, str_fmt("unexpected argument \"%s\"", shown));
    }
}
