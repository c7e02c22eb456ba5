/* What follows from what was given: the mode from the names that pgstream's users set, the source
 * from the URL of the snapshot's store, the schema of the state from the program's name; which of
 * two sizes of a part counts. */
#include <string.h>

#include "base/mem.h"
#include "conf/names.h"
#include "conf/reader.h"
#include "conf/setting.h"

/* The way in which the source was named decides what is done with it. */
enum source_name { SOURCE_OWN, SOURCE_LISTENER, SOURCE_SNAPSHOT, SOURCE_STORE };

/* With its level in *ret_level. */
static const struct given *find_level(const struct reader *r, const char *setting,
                                      size_t *ret_level)
{
    size_t index = setting_index(setting);
    for (size_t level = LEVEL_COUNT; level > 0; level--) {
        const struct given *given = given_find(&r->levels[level - 1], index, NULL);
        if (given) {
            *ret_level = level - 1;
            return given;
        }
    }
    return NULL;
}

const struct given *reader_find(const struct reader *r, const char *setting)
{
    size_t level;
    return find_level(r, setting, &level);
}

static enum source_name kind_of_name(const char *name)
{
    const char *rest = env_rest(name);
    if (strcmp(name, "source.postgres.url") == 0 ||
        (rest && strcmp(rest, "POSTGRES_LISTENER_URL") == 0))
        return SOURCE_LISTENER;
    return rest && strcmp(rest, "POSTGRES_SNAPSHOT_LISTENER_URL") == 0 ? SOURCE_SNAPSHOT
                                                                       : SOURCE_OWN;
}

/* The source under a name of that kind; NULL: there is none. A flag --source is not given another
 * meaning by a variable that was left in the environment; by the file that goes with it, it is. */
static const struct given *find_source(const struct reader *r, enum source_name kind)
{
    size_t index = setting_index("source");
    bool has_flag = given_find(&r->levels[LEVEL_FLAGS], index, NULL) != NULL;
    for (size_t level = LEVEL_COUNT; level > 0; level--) {
        const struct given_list *list = &r->levels[level - 1];
        if (level - 1 == LEVEL_ENVIRONMENT && has_flag)
            continue;
        for (size_t i = 0; i < list->count; i++)
            if (list->items[i].index == index && *list->items[i].value &&
                kind_of_name(list->items[i].name) == kind)
                return &list->items[i];
    }
    return NULL;
}

/* The database to snapshot is the source when nothing else is. */
static void derive_source(struct reader *r)
{
    size_t source = setting_index("source");
    if (*r->s->source || !*r->s->snapshot_store || r->has_failed[source])
        return;
    size_t store = setting_index("snapshot_store");
    str_set(&r->s->source, str_dup(r->s->snapshot_store));
    origin_set(r->s, source, str_dup(setting_origin(&settings_table[store], r->s)));
}

static void set_mode(struct reader *r, enum mode mode, const struct given *given,
                     const struct given *second)
{
    r->s->mode = mode;
    if (given)
        origin_set(r->s, setting_index("mode"),
                   str_fmt("derived from %s%s%s", given->name, second ? " and " : "",
                           second ? second->name : ""));
}

/* The rule of pgstream's LISTENER_URL. */
static void derive_listener_mode(struct reader *r, const struct given *source)
{
    const struct given *enabled = reader_find(r, "initial_snapshot");
    const struct given *tables = reader_find(r, "tables");
    if (r->s->initial_snapshot == TOGGLE_ON)
        set_mode(r, MODE_SNAPSHOT_AND_REPLICATION, source, enabled);
    else if (r->s->initial_snapshot == TOGGLE_UNSET && tables)
        set_mode(r, MODE_SNAPSHOT_AND_REPLICATION, source, tables);
    else
        set_mode(r, MODE_REPLICATION, source, enabled);
}

static void derive_mode(struct reader *r)
{
    const struct given *listener = find_source(r, SOURCE_LISTENER);
    const struct given *snapshot = find_source(r, SOURCE_SNAPSHOT);
    const struct given *enabled = reader_find(r, "initial_snapshot");
    bool has_other_source = find_source(r, SOURCE_OWN) != NULL;
    const struct given *store = has_other_source ? NULL : reader_find(r, "snapshot_store");
    if (r->s->mode != MODE_AUTO)
        return;
    if (listener)
        derive_listener_mode(r, listener);
    else if (snapshot)
        set_mode(r, MODE_SNAPSHOT, snapshot, NULL);
    else if (store && r->s->initial_snapshot != TOGGLE_ON)
        set_mode(r, MODE_SNAPSHOT, store, NULL);
    else if (r->s->initial_snapshot == TOGGLE_OFF)
        set_mode(r, MODE_REPLICATION, enabled, NULL);
    else
        set_mode(r, MODE_SNAPSHOT_AND_REPLICATION, enabled, NULL);
}

/* Two flags stand for values of snapshot_mode. */
static void derive_content(struct reader *r)
{
    size_t index = setting_index("snapshot_mode");
    enum snapshot_content content = r->s->schema_only ? SNAPSHOT_SCHEMA : SNAPSHOT_DATA;
    const char *flag = r->s->schema_only ? "--schema-only" : "--data-only";
    bool has_flag = given_find(&r->levels[LEVEL_FLAGS], index, NULL) != NULL;
    if (!r->s->schema_only && !r->s->data_only)
        return;
    if (r->s->schema_only && r->s->data_only) {
        strv_take(r->problems, str_dup("--schema-only and --data-only exclude each other"));
    } else if (has_flag && r->s->snapshot_content != content) {
        strv_take(r->problems, str_fmt("--snapshot-mode and %s set snapshot_mode to different "
                                       "values; keep one of them",
                                       flag));
    } else {
        r->s->snapshot_content = content;
        origin_set(r->s, index, str_fmt("flag %s", flag));
    }
}

/* Blocks and bytes are two settings for one thing: the higher level wins here as well. */
static void derive_part_size(struct reader *r)
{
    size_t blocks_level = 0;
    size_t bytes_level = 0;
    const struct given *blocks = find_level(r, "batch_page_size", &blocks_level);
    const struct given *bytes = find_level(r, "part_size", &bytes_level);
    if (!blocks || !bytes || r->s->batch_page_size == 0 || blocks_level > bytes_level)
        return;
    if (blocks_level == bytes_level) {
        strv_take(r->problems, str_fmt("%s and %s both set the size of a part; keep one of them",
                                       blocks->where, bytes->origin));
        return;
    }
    r->s->batch_page_size = 0;
    origin_set(r->s, setting_index("batch_page_size"), str_fmt("derived from %s", bytes->name));
}

/* A copy that holds a slot is one that is followed, up to its own end. */
static void derive_resumable(struct reader *r)
{
    struct settings *s = r->s;
    s->resumable = s->resumable && s->mode == MODE_SNAPSHOT;
    if (!s->resumable)
        return;
    s->mode = MODE_SNAPSHOT_AND_REPLICATION;
    origin_set(s, setting_index("mode"), str_dup("derived from resumable"));
}

void derive_settings(struct reader *r)
{
    derive_content(r);
    if (!r->s->keeper_schema[0])
        str_set(&r->s->keeper_schema, str_dup(r->s->program));
    derive_source(r);
    derive_mode(r);
    derive_part_size(r);
    if (r->command == COMMAND_SNAPSHOT && r->s->mode != MODE_SNAPSHOT) {
        r->s->mode = MODE_SNAPSHOT;
        origin_set(r->s, setting_index("mode"), str_dup("command snapshot"));
    }
    derive_resumable(r);
}
