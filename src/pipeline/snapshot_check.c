/* What must hold before a snapshot begins, beside what src/check finds: rows of the target, and the
 * question before they go. See snapshot.h. Engine thread. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "pipeline/attempt.h"
#include "pipeline/snapshot.h"
#include "schema/array.h"

enum { NAMES_SHOWN = 10 };

struct check {
    struct snapshot *snapshot;
    struct engine *engine;
    struct conn *target;      /* borrowed: the keeper's connection */
    struct table_list tables; /* selected, on the source */
    struct table_list there;  /* all of the target */
    bool *is_filled;          /* of those: selected, and holds rows that are not ours */
};

static void check_release(struct check *check)
{
    table_list_release(&check->tables);
    table_list_release(&check->there);
    free(check->is_filled);
}

static bool copies_rows(const struct engine *engine)
{
    return engine->settings->snapshot_content != SNAPSHOT_SCHEMA;
}

/* "a, b and 3 more"; owned by the caller. */
static char *names_of(const struct strv *names)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < names->count && i < NAMES_SHOWN; i++)
        buf_fmt(&text, "%s%s", i ? ", " : "", names->items[i]);
    if (names->count > NAMES_SHOWN)
        buf_fmt(&text, " and %zu more", names->count - NAMES_SHOWN);
    return buf_take(&text);
}

static void add_label(struct strv *names, const struct table *table)
{
    strv_take(names, table_label(table));
}

/* --- the record of a snapshot that did not end --- */

/* Read again under the lock: whose it is, the checks have seen. */
static bool read_record(struct check *check, struct err *err)
{
    struct snapshot *snapshot = check->snapshot;
    struct engine *engine = check->engine;
    int version = 0;
    if (!keeper_look(check->target, snapshot->schema, &version, err))
        return false;
    if (version == 0)
        return true;
    keeper_pipeline_release(&engine->pipeline);
    return keeper_migrate(check->target, snapshot->schema, err) &&
           keeper_load(check->target, snapshot->schema, &snapshot->is_known, &engine->pipeline,
                       err) &&
           (!snapshot->is_known ||
            keeper_tables(check->target, &engine->ref, &snapshot->kept, err));
}

/* What the unfinished snapshot says of the target's table; NULL: it is none of its. */
static const struct keeper_table *find_kept(const struct check *check, const struct table *there)
{
    const struct keeper_tables *kept = &check->snapshot->kept;
    for (size_t i = 0; i < kept->count; i++)
        if (kept->items[i].target_oid == there->oid)
            return &kept->items[i];
    return NULL;
}

/* --- the target's tables --- */

static bool is_copied_row_by_row(const struct check *check, const struct table *table)
{
    return copies_rows(check->engine) &&
           attempt_copies(check->engine, check->snapshot->is_standby, table);
}

static const struct table *find_there(const struct check *check, const struct table *table)
{
    return table_list_goal(&check->there, table, check->engine->settings->publish_via_root);
}

static bool has_rows(const struct check *check, const struct table *there, bool *ret_has_rows,
                     struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = quote_sql("SELECT FROM ONLY %I.%I LIMIT 1", there->schema, there->name);
    if (there->kind == 'p') /* here one table, on the source perhaps not */
        str_set(&sql, quote_sql("SELECT FROM %I.%I LIMIT 1", there->schema, there->name));
    if (!conn_query(check->target, sql, &rows, err))
        return false;
    *ret_has_rows = rows_count(rows) > 0;
    return true;
}

static void warn_unlogged(const struct check *check)
{
    for (size_t i = 0; check->snapshot->is_standby && i < check->tables.count; i++)
        if (check->tables.items[i].persistence == 'u' && check->tables.items[i].kind == 'r')
            log_warn("the rows of %s.%s are left out: it is unlogged, and the source is a standby",
                     check->tables.items[i].schema, check->tables.items[i].name);
}

static bool find_filled(struct check *check, struct strv *filled, struct err *err)
{
    warn_unlogged(check);
    check->is_filled = mem_alloc(check->there.count * sizeof(bool) + 1);
    for (size_t i = 0; i < check->tables.count; i++) {
        const struct table *table = &check->tables.items[i];
        const struct table *there = find_there(check, table);
        bool is_filled = false;
        if (!there || !is_copied_row_by_row(check, table) || find_kept(check, there))
            continue;
        if (!has_rows(check, there, &is_filled, err))
            return false;
        check->is_filled[there - check->there.items] = is_filled;
        if (is_filled)
            add_label(filled, there);
    }
    return true;
}

/* --- emptying --- */

static bool is_whole(const struct table_list *there, const bool *is_listed,
                     const struct table *root)
{
    bool has_some = false;
    for (size_t i = 0; i < there->count; i++) {
        const struct table *leaf = &there->items[i];
        if (leaf->kind != 'r' || !leaf->root_name || strcmp(leaf->root_name, root->name) != 0 ||
            strcmp(leaf->root_schema, root->schema) != 0)
            continue;
        if (!is_listed[i])
            return false;
        has_some = true;
    }
    return has_some;
}

/* The root under which a listed partition is emptied with all the others; NULL: it goes alone. */
static const struct table *whole_root(const struct table_list *there, const bool *is_listed,
                                      const struct table *table)
{
    const struct table *root =
        table->root_name ? table_list_find(there, table->root_schema, table->root_name) : NULL;
    return root && is_whole(there, is_listed, root) ? root : NULL;
}

void snapshot_truncate_sql(const struct table_list *there, const bool *is_listed, struct buf *sql)
{
    const char *glue = "TRUNCATE";
    for (size_t i = 0; i < there->count; i++) {
        const struct table *table = &there->items[i];
        bool is_root =
            table->kind == 'p' &&
            (is_listed[i] || (!table->is_partition && is_whole(there, is_listed, table)));
        if (!is_root && (!is_listed[i] || whole_root(there, is_listed, table)))
            continue;
        /* The server refuses to empty a partition alone when a key refers to its root. */
        quote_add(sql, "%s %s%I.%I", glue, table->kind == 'p' ? "" : "ONLY ", table->schema,
                  table->name);
        glue = ",";
    }
}

/* What TRUNCATE will empty, roots and all. */
static char *emptied_oids(const struct check *check)
{
    struct buf oids = BUF_INIT;
    for (size_t i = 0; i < check->there.count; i++) {
        const struct table *table = &check->there.items[i];
        if (check->is_filled[i] || whole_root(&check->there, check->is_filled, table) ||
            (table->kind == 'p' && is_whole(&check->there, check->is_filled, table)))
            array_add_oid(&oids, table->oid);
    }
    (void)array_end(&oids);
    return buf_take(&oids);
}

static bool is_selected(const struct check *check, const struct table *there)
{
    const struct table *table = table_list_find(&check->tables, there->schema, there->name);
    return table && is_copied_row_by_row(check, table);
}

/* Tables that refer to listed ones by a foreign key have to be in the same TRUNCATE: selected ones
 * join the list, others are in the way. */
static bool add_referring(struct check *check, bool *ret_has_added, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *oids = emptied_oids(check);
    const char *params[] = {oids};
    if (!conn_query_params(check->target,
                           "SELECT DISTINCT c.conrelid, c.conrelid::pg_catalog.regclass,"
                           " c.confrelid::pg_catalog.regclass FROM pg_catalog.pg_constraint c"
                           " JOIN pg_catalog.pg_class r ON r.oid = c.conrelid"
                           " WHERE c.contype = 'f' AND c.confrelid = ANY ($1::pg_catalog.oid[])"
                           " AND c.conrelid <> ALL ($1::pg_catalog.oid[])"
                           " ORDER BY 2, 3",
                           1, params, &rows, err))
        return false;
    *ret_has_added = rows_count(rows) > 0;
    for (int i = 0; i < rows_count(rows); i++) {
        const struct table *there = table_list_find_oid(&check->there, rows_oid(rows, i, 0));
        bool has_added = false;
        for (size_t t = 0; there && t < check->there.count; t++) {
            const struct table *table = &check->there.items[t];
            bool is_it =
                table == there || (table->root_name && strcmp(table->root_name, there->name) == 0 &&
                                   strcmp(table->root_schema, there->schema) == 0);
            if (is_it && is_selected(check, table) && !check->is_filled[t])
                has_added = check->is_filled[t] = true;
        }
        if (has_added)
            continue;
        (void)err_set(err, ERR_CONFIG,
                      "cannot empty %s on the target: %s refers to it by a foreign key and is not "
                      "part of the snapshot",
                      rows_text(rows, i, 2), rows_text(rows, i, 1));
        return err_hint(err, "drop that key on the target, or select that table as well");
    }
    return true;
}

/* --- the question --- */

/* True: yes. Everything but "y" and "yes" is a no. */
static bool ask(struct engine *engine, bool *ret_is_yes, struct err *err)
{
    char answer[8] = "";
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = stop_fd(engine->soft), .events = POLLIN}};
    (void)fputs("Empty these tables? [y/N] ", stderr);
    while (poll(fds, COUNT_OF(fds), -1) < 0 && errno == EINTR)
        continue;
    if (stop_raised(engine->soft))
        return err_set(err, ERR_STOP, "interrupted");
    ssize_t got = read(STDIN_FILENO, answer, sizeof(answer) - 1);
    *ret_is_yes = got > 0 && (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0);
    return true;
}

static bool agree(struct check *check, struct err *err)
{
    const struct settings *settings = check->engine->settings;
    bool is_yes = settings->yes;
    (void)fputs("These tables of the target will be emptied:\n", stderr);
    for (size_t i = 0; i < check->there.count; i++)
        if (check->is_filled[i])
            (void)fprintf(stderr, "  %s.%s\n", check->there.items[i].schema,
                          check->there.items[i].name);
    (void)fflush(stderr);
    if (!is_yes && !isatty(STDIN_FILENO)) {
        (void)err_set(err, ERR_CONFIG, "--reset would empty tables of the target");
        return err_hint(err, "add --yes: there is no terminal to ask at");
    }
    if (!is_yes && !ask(check->engine, &is_yes, err))
        return false;
    if (!is_yes)
        return err_set(err, ERR_CONFIG, "the tables of the target stay as they are");
    snapshot_truncate_sql(&check->there, check->is_filled, &check->snapshot->reset_sql);
    return true;
}

static bool check_rows(struct check *check, struct err *err)
{
    AUTO(strv_release) struct strv filled = STRV_INIT;
    if (!find_filled(check, &filled, err))
        return false;
    if (!filled.count)
        return true;
    if (check->engine->settings->reset) {
        for (bool has_added = true; has_added;)
            if (!add_referring(check, &has_added, err))
                return false;
        return agree(check, err);
    }
    AUTO(str_free) char *names = names_of(&filled);
    (void)err_set(err, ERR_CONFIG, "tables of the target hold rows already: %.600s", names);
    return err_hint(err, "empty or drop them on the target, name another target database, or let "
                         "snapshot --reset empty them");
}

/* --- all of it --- */

static bool check_settings(const struct settings *settings, struct err *err)
{
    if (!settings->reset || settings->snapshot_content != SNAPSHOT_SCHEMA)
        return true;
    (void)err_set(err, ERR_CONFIG, "--reset empties tables, a snapshot of the schema fills none");
    return err_hint(err, "leave one of the two out");
}

static bool read_tables(struct check *check, struct err *err)
{
    AUTO(str_free) char *is_standby = NULL;
    AUTO(conn_free) struct conn *source = NULL;
    if (!engine_connect(check->engine, true, "check", &source, err) ||
        !conn_text(source, "SELECT pg_catalog.pg_is_in_recovery()", &is_standby, err) ||
        !engine_tables(check->engine, source, &check->tables, err))
        return false;
    check->snapshot->is_standby = strcmp(is_standby, "t") == 0;
    return catalog_tables(check->target, check->engine->ref.schema, &check->there, err);
}

bool snapshot_check(struct snapshot *snapshot, struct err *err)
{
    struct engine *engine = snapshot->engine;
    AUTO(check_release) struct check check = {.snapshot = snapshot, .engine = engine};
    if (!check_settings(engine->settings, err) || !engine_check(engine, err))
        return false;
    engine->ref = (struct keeper_ref){snapshot->schema, engine->slot};
    if (!engine_lock(engine, err)) /* the sessions of a killed snapshot have ended then */
        return false;
    check.target = engine->keeper;
    return read_record(&check, err) && read_tables(&check, err) && check_rows(&check, err);
}
