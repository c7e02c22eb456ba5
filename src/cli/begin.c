/* What every command with settings begins with. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "pg/url.h"

/* One part of a URL as libpq would complete it; NULL: libpq's own default. Owned by the caller. */
static char *part_of(const char *url, const char *keyword, const char *variable)
{
    AUTO(str_free) char *part = url_part(url, keyword);
    return part && *part ? TAKE(part) : str_dup(getenv(variable));
}

/* A database without a name is called like the user. */
static char *database_of(const char *url)
{
    char *name = part_of(url, "dbname", "PGDATABASE");
    return name ? name : part_of(url, "user", "PGUSER");
}

/* NULL is a default, and the same for both. */
static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same_database(const char *a, const char *b)
{
    AUTO(str_free) char *host_a = part_of(a, "host", "PGHOST");
    AUTO(str_free) char *host_b = part_of(b, "host", "PGHOST");
    AUTO(str_free) char *port_a = part_of(a, "port", "PGPORT");
    AUTO(str_free) char *port_b = part_of(b, "port", "PGPORT");
    AUTO(str_free) char *name_a = database_of(a);
    AUTO(str_free) char *name_b = database_of(b);
    return is_same(host_a, host_b) && is_same(name_a, name_b) &&
           is_same(port_a ? port_a : "5432", port_b ? port_b : "5432");
}

/* The store of snapshots is accepted as another name of the source, and as nothing else. */
static void check_store(const struct settings *settings, struct strv *problems)
{
    const char *source = settings->source;
    const char *store = settings->snapshot_store;
    if (*source && *store && !is_same_database(source, store))
        strv_take(problems, str_fmt("%s names another database than %s; hint: trunkline snapshots "
                                    "the source and keeps its records on the target: name the "
                                    "source in both, or leave the first out",
                                    settings_origin(settings, "snapshot_store"),
                                    settings_origin(settings, "source")));
}

/* Each mistake is a line of its own. */
static void log_problems(const struct strv *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        log_error("%s", problems->items[i]);
}

bool command_begin(struct settings *settings, unsigned command, int argc, char **argv,
                   int *ret_code)
{
    AUTO(strv_release) struct strv problems = STRV_INIT;
    bool is_read = settings_read(settings, command, argc, argv, &problems);
    if (settings->wants_help) {
        help_print(settings->program, argv[0], stdout);
        *ret_code = 0;
        return false;
    }
    check_store(settings, &problems);
    if (!is_read || problems.count > 0) {
        const struct err mistake = {.kind = ERR_CONFIG};
        log_setup(LOG_INFO, settings->log_format);
        log_problems(&problems);
        *ret_code = err_exit_code(&mistake);
        return false;
    }
    log_setup(settings->log_level, settings->log_format);
    return true;
}
