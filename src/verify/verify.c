/* Compares source and target table by table: see verify.h. Tables are taken one after the other;
 * both servers work on one at the same time. A transaction spans one table at most, so that neither
 * vacuum nor the user's DDL waits for the whole run. */
#include "verify/verify.h"

#include "base/mem.h"
#include "conf/selection.h"
#include "pg/catalog.h"
#include "verify/comment.h"
#include "verify/compare.h"
#include "verify/follower.h"
#include "verify/pair.h"
#include "verify/report.h"
#include "verify/schema.h"

static bool is_covered(const struct table *table, void *arg)
{
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_covers(arg, &names);
}

static bool is_no_partition(const struct table *table, void *arg UNUSED)
{
    return !table->is_partition;
}

/* With publish_via_root a partitioned table is compared as one, however it is partitioned there. */
static void take_roots_whole(struct table_list *tables)
{
    for (size_t i = 0; i < tables->count; i++) {
        struct table *root = &tables->items[i];
        if (root->kind != 'p' || root->is_partition)
            continue;
        root->kind = 'P';
        for (size_t leaf = 0; leaf < tables->count; leaf++)
            if (table_is_leaf_of(&tables->items[leaf], root))
                root->bytes += tables->items[leaf].bytes;
    }
    table_list_filter(tables, is_no_partition, NULL);
}

static bool choose_tables(const struct settings *settings, struct table_list *tables,
                          struct err *err)
{
    AUTO(selection_release) struct selection selection = SELECTION_INIT;
    if (!selection_read(settings, &selection, err))
        return false;
    table_list_filter(tables, is_covered, &selection);
    return selection_check(&selection, err);
}

static bool compare_all(struct pair *pair, const struct table_list *source,
                        const struct table_list *target, struct follower *follower,
                        struct report *report, struct err *err)
{
    for (size_t i = 0; i < source->count; i++) {
        const struct table *table = &source->items[i];
        AUTO(comparison_release) struct comparison comparison = COMPARISON_INIT;
        report_progress(report, table);
        if (!compare_table(pair, follower, table,
                           table_list_find(target, table->schema, table->name), &comparison, err))
            return false;
        const struct keeper_table *known = keeper_table_find(&follower->tables, table->oid);
        comparison.is_insert_only = known && known->is_insert_only;
        report_table(report, &comparison);
    }
    return true;
}

static bool read_tables(struct pair *pair, const struct settings *settings,
                        struct table_list *source, struct table_list *target, struct err *err)
{
    return catalog_tables(pair->conns[SIDE_SOURCE], settings->keeper_schema, source, err) &&
           choose_tables(settings, source, err) &&
           catalog_measure(pair->conns[SIDE_SOURCE], source, err) &&
           (!settings->publish_via_root || (take_roots_whole(source), true)) &&
           catalog_tables(pair->conns[SIDE_TARGET], settings->keeper_schema, target, err);
}

/* For people the script goes to out at once. */
static bool compare_catalogs(const struct follower *follower, const struct settings *settings,
                             FILE *out, struct report *report, struct err *err)
{
    AUTO(script_release) struct script script = SCRIPT_INIT;
    if (!schema_compare(follower->pair, settings, follower->was_at_work, &script, err))
        return false;
    if (settings->json) {
        report_schema(report, script_json(&script), script.differences > 0);
        return true;
    }
    AUTO(str_free) char *text = script_text(&script);
    (void)fputs(text, out);
    (void)fflush(out);
    report_schema(report, NULL, script.differences > 0);
    return true;
}

bool verify_run(const struct settings *settings, struct stop *stop, FILE *out, FILE *progress,
                bool *ret_equal, struct err *err)
{
    AUTO(pair_release) struct pair pair = PAIR_INIT;
    AUTO(table_list_release) struct table_list source = TABLE_LIST_INIT;
    AUTO(table_list_release) struct table_list target = TABLE_LIST_INIT;
    AUTO(follower_release) struct follower follower = FOLLOWER_INIT;
    bool has_rows = !settings->schema_only;
    bool has_schema = settings->schema_only || settings->compare_schema;
    bool is_ready = pair_open(&pair, settings, stop, err) &&
                    (!has_rows || read_tables(&pair, settings, &source, &target, err));
    if (!is_ready && err->kind == ERR_CONFIG)
        return false; /* nothing was begun: no result */
    /* Beside SQL all else is a comment. */
    AUTO(comment_close) FILE *comments = has_schema && !settings->json ? comment_open(out) : NULL;
    AUTO(report_free)
    struct report *report =
        report_new(comments ? comments : out, settings->json, progress, &source);
    if (is_ready)
        follower_open(&pair, settings->keeper_schema, &follower);
    follower.tell = report_wait;
    follower.told = report;
    bool is_finished = is_ready &&
                       (!has_schema || compare_catalogs(&follower, settings, out, report, err)) &&
                       compare_all(&pair, &source, &target, &follower, report, err);
    AUTO(str_free) char *note = is_finished ? follower_behind(&follower) : NULL;
    if (has_rows || settings->json || !is_finished)
        report_end(report, is_finished ? NULL : err, note);
    else if (note && report_found(report))
        (void)fprintf(comments, "%s\n", note);
    *ret_equal = is_finished && !report_found(report);
    return is_finished && (report_found(report) || report_settled(report, err));
}
