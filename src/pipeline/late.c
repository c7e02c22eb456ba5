/* Tables that match and are not published. See late.h. */
#include "pipeline/late.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "source/publication.h"

enum { INTERVALS = 6 };

struct late {
    const struct engine *engine;
    struct selection selection; /* our own: it notes what it has matched */
    struct strv named;
    int64_t look_ms;
};

struct late *late_new(const struct engine *engine)
{
    struct late *late = mem_alloc(sizeof(*late));
    struct err unused = {0};
    late->engine = engine;
    late->look_ms = clock_ms();
    if (!selection_read(engine->settings, &late->selection, &unused)) /* read once already */
        abort();
    return late;
}

void late_free(struct late **late)
{
    if (!*late)
        return;
    selection_release(&(*late)->selection);
    strv_release(&(*late)->named);
    free(*late);
    *late = NULL;
}

static bool is_expected(const struct table *table, void *arg)
{
    struct late *late = arg;
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return table->kind == 'r' && table->persistence == 'p' &&
           selection_covers(&late->selection, &names);
}

static void name_table(struct late *late, const struct table *table)
{
    AUTO(str_free) char *label = table_label(table);
    if (strv_has(&late->named, label))
        return;
    log_warn("%s has come to the source and is not followed: start again to take it in", label);
    strv_take(&late->named, TAKE(label));
}

static void free_flags(bool **flags)
{
    free(*flags);
}

bool late_look(struct late *late, struct conn *source, struct err *err)
{
    const struct engine *engine = late->engine;
    int64_t interval = INTERVALS * engine->settings->idle_position_interval_ms;
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    AUTO(free_flags) bool *is_carried = NULL;
    const char *names[2] = {engine->publication, engine->inserts_publication};
    if (clock_ms() - late->look_ms < interval ||
        metrics_get(engine->metrics, METRIC_PHASE) != METRICS_FOLLOWING)
        return true;
    late->look_ms = clock_ms();
    if (!catalog_tables(source, engine->ref.schema, &tables, err))
        return false;
    table_list_filter(&tables, is_expected, late);
    if (!publication_carries(source, names, &tables, &is_carried, err))
        return false;
    for (size_t i = 0; i < tables.count; i++)
        if (!is_carried[i])
            name_table(late, &tables.items[i]);
    return true;
}
