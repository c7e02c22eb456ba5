/* The order of `trunkline plan`: connect, read what is there, then tables, then the rest. The
 * sessions are read-only, so that even a mistake of ours could change nothing. See preview.h. */
#include "status/preview.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/url.h"
#include "source/publication.h"
#include "source/slot.h"
#include "status/preview_inside.h"

/* Sizes of tables are read, which waits behind an exclusive lock: not for ever. */
#define SESSION_OPTIONS "-c default_transaction_read_only=on -c lock_timeout=5000"

static void reading_release(struct preview_reading *reading)
{
    selection_release(&reading->selection);
    conn_free(&reading->source);
    conn_free(&reading->target);
    table_list_release(&reading->target_tables);
    keeper_tables_release(&reading->kept);
    types_free(&reading->types);
    free(reading->is_carried);
}

void preview_release(struct preview *preview)
{
    for (size_t i = 0; i < preview->count; i++)
        free(preview->items[i].why_text);
    for (size_t i = 0; i < preview->left_out_count; i++) {
        free(preview->left_out[i].name);
        free(preview->left_out[i].why);
    }
    for (size_t i = 0; i < preview->object_count; i++)
        free(preview->objects[i].name);
    free(preview->items);
    free(preview->left_out);
    free(preview->objects);
    free(preview->slot_name);
    table_list_release(&preview->tables);
    *preview = (struct preview){0};
}

const char *preview_rows_name(enum preview_rows rows)
{
    switch (rows) {
    case ROWS_COPIED:
        return "copied";
    case ROWS_PRESENT:
        return "present";
    case ROWS_LEFT:
        return "left_out";
    }
    return "";
}

const char *preview_changes_name(enum preview_changes changes)
{
    switch (changes) {
    case CHANGES_ALL:
        return "all";
    case CHANGES_FULL:
        return "all_by_full_identity";
    case CHANGES_INSERT_ONLY:
        return "insert_only";
    case CHANGES_UNLOGGED:
        return "none_unlogged";
    case CHANGES_UNPUBLISHED:
        return "none_unpublished";
    case CHANGES_REFUSED:
        return "refused";
    case CHANGES_NONE:
        return "none";
    }
    return "";
}

void preview_leave_out(struct preview *preview, char *take_name, char *take_why)
{
    preview->left_out =
        mem_resize(preview->left_out, preview->left_out_count + 1, sizeof(*preview->left_out));
    preview->left_out[preview->left_out_count++] =
        (struct preview_left_out){.name = take_name, .why = take_why};
}

void preview_object(struct preview *preview, const char *server, const char *kind, const char *name,
                    bool is_present)
{
    preview->objects =
        mem_resize(preview->objects, preview->object_count + 1, sizeof(*preview->objects));
    preview->objects[preview->object_count++] = (struct preview_object){
        .server = server, .kind = kind, .name = str_dup(name), .is_present = is_present};
}

static bool connect_to(struct preview_reading *reading, bool is_source, struct err *err)
{
    const struct settings *settings = reading->preview->settings;
    struct conn_options options = {
        .url = is_source ? settings->source : settings->target,
        .what = is_source ? "source" : "target",
        .application_name = "trunkline::plan",
        .extra_options = SESSION_OPTIONS,
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)settings->tcp_user_timeout_ms,
    };
    return url_check(options.url, is_source ? "--source" : "--target", err) &&
           conn_open(&options, is_source ? &reading->source : &reading->target, err);
}

static bool name_slot(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    const struct settings *settings = preview->settings;
    AUTO(str_free) char *database = NULL;
    return settings->mode == MODE_SNAPSHOT ||
           (conn_text(reading->source, "SELECT pg_catalog.current_database()", &database, err) &&
            slot_name(settings->slot, settings->program, database, &preview->slot_name, err));
}

/* A pipeline that is there already would go on where it is. */
static bool read_keeper(struct preview_reading *reading, struct err *err)
{
    const struct preview *preview = reading->preview;
    const char *schema = preview->settings->keeper_schema;
    struct keeper_ref ref = {schema, preview->slot_name};
    AUTO(keeper_pipeline_release) struct keeper_pipeline pipeline = {0};
    int version = 0;
    bool is_found = false;
    if (!preview->slot_name)
        return true;
    if (!keeper_look(reading->target, schema, &version, err))
        return false;
    if (version == 0 || version > KEEPER_VERSION)
        return true;
    if (!keeper_load(reading->target, schema, &is_found, &pipeline, err))
        return false;
    if (!is_found || strcmp(pipeline.slot, preview->slot_name) != 0)
        return true;
    reading->has_pipeline = true;
    reading->is_following = pipeline.phase == KEEPER_FOLLOWING;
    return keeper_tables(reading->target, &ref, &reading->kept, err);
}

static bool read_publication(struct preview_reading *reading, struct err *err)
{
    const struct preview *preview = reading->preview;
    const char *names[2] = {preview->settings->publication_name, NULL};
    return !preview->slot_name || !names[0][0] ||
           publication_carries(reading->source, names, &preview->tables, &reading->is_carried, err);
}

static bool read_all(struct preview_reading *reading, struct err *err)
{
    struct preview *preview = reading->preview;
    const char *keeper = preview->settings->keeper_schema;
    AUTO(str_free) char *block_bytes = NULL;
    if (!catalog_tables(reading->source, keeper, &preview->tables, err) ||
        !catalog_measure(reading->source, &preview->tables, err) ||
        !catalog_tables(reading->target, keeper, &reading->target_tables, err) ||
        !types_read(reading->source, conn_version(reading->target), &reading->types, err) ||
        !conn_text(reading->source, "SHOW block_size", &block_bytes, err))
        return false;
    reading->block_bytes = strtoll(block_bytes, NULL, 10);
    return read_keeper(reading, err) && read_publication(reading, err);
}

bool preview_read(const struct settings *settings, struct preview *ret, struct err *err)
{
    AUTO(reading_release) struct preview_reading reading = {.preview = ret};
    ret->settings = settings;
    ret->copiers = settings_copiers(settings);
    return selection_read(settings, &reading.selection, err) && connect_to(&reading, true, err) &&
           connect_to(&reading, false, err) && name_slot(&reading, err) &&
           read_all(&reading, err) && preview_look_tables(&reading, err) &&
           preview_look_objects(&reading, err);
}
