/* Publications. See publication.h. */
#include "source/publication.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"

enum { NAME_MAX_BYTES = 63, NAME_KEPT = 40 };

char *publication_inserts_name(const char *slot)
{
    static const char suffix[] = "_inserts";
    uint32_t hash = 2166136261U; /* FNV-1a */
    if (strlen(slot) + sizeof(suffix) - 1 <= NAME_MAX_BYTES)
        return str_fmt("%s%s", slot, suffix);
    for (const char *c = slot; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    return str_fmt("%.*s_%08x%s", (int)NAME_KEPT, slot, hash, suffix);
}

bool publication_look(struct conn *source, const char *publication, bool *ret_exists,
                      struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {publication};
    if (!conn_query_params(source, "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1", 1,
                           params, &rows, err))
        return err_wrap(err, "could not look for publication \"%s\"", publication);
    *ret_exists = rows_count(rows) > 0;
    return true;
}

bool publication_make(struct conn *source, const char *publication, bool is_inserts_only,
                      bool *ret_made, struct err *err)
{
    bool exists = false;
    *ret_made = false;
    if (!publication_look(source, publication, &exists, err))
        return false;
    if (exists)
        return true;
    *ret_made = true;
    return conn_execf(source, err,
                      "CREATE PUBLICATION %I WITH (publish = '%s',"
                      " publish_via_partition_root = false);"
                      " COMMENT ON PUBLICATION %I IS 'trunkline publication'",
                      publication,
                      is_inserts_only ? "insert, truncate" : "insert, update, delete, truncate",
                      publication) ||
           err_wrap(err, "could not create publication \"%s\"", publication);
}

#define OUR_MARK                                                        \
    "coalesce(pg_catalog.obj_description(p.oid, 'pg_publication'), '')" \
    " = 'trunkline publication'"

bool publication_is_ours(struct conn *source, const char *publication, bool *ret_is_ours,
                         struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {publication};
    if (!conn_query_params(source,
                           "SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = $1"
                           " AND " OUR_MARK,
                           1, params, &rows, err))
        return err_wrap(err, "could not look for publication \"%s\"", publication);
    *ret_is_ours = rows_count(rows) > 0;
    return true;
}

bool publication_drop(struct conn *source, const char *publication, bool *ret_dropped,
                      struct err *err)
{
    if (!publication_is_ours(source, publication, ret_dropped, err))
        return false;
    return !*ret_dropped || conn_execf(source, err, "DROP PUBLICATION %I", publication) ||
           err_wrap(err, "could not drop publication \"%s\"", publication);
}

bool publication_read(struct conn *source, const char *publication, bool is_inserts_only,
                      struct publication_state *ret_state, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql = str_fmt(
        "SELECT " OUR_MARK
        ", p.pubinsert AND p.pubtruncate AND NOT p.pubviaroot AND NOT p.puballtables"
        " AND p.pubupdate <> $2::bool AND p.pubdelete <> $2::bool%s"
        " FROM pg_catalog.pg_publication p WHERE p.pubname = $1",
        conn_version(source) < 150000
            ? ""
            : " AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid"
              "   AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL))");
    const char *params[] = {publication, is_inserts_only ? "true" : "false"};
    if (!conn_query_params(source, sql, 2, params, &rows, err))
        return err_wrap(err, "could not read publication \"%s\"", publication);
    bool exists = rows_count(rows) > 0;
    *ret_state = (struct publication_state){.exists = exists,
                                            .is_ours = exists && rows_bool(rows, 0, 0),
                                            .is_intact = exists && rows_bool(rows, 0, 1)};
    return true;
}

bool publication_is_publishable(const struct table *table)
{
    return !table->is_partition && table->persistence == 'p';
}

static bool has_primary_key(const struct table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].is_primary_key)
            return true;
    return false;
}

bool publication_is_safe_root(const struct table_list *tables, const struct table *table)
{
    if (!has_primary_key(table))
        return false;
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *leaf = &tables->items[i];
        if (leaf->kind == 'r' && leaf->root_name && strcmp(leaf->root_name, table->name) == 0 &&
            strcmp(leaf->root_schema, table->schema) == 0 && !leaf->has_identity)
            return false;
    }
    return true;
}

/* --- what they carry now --- */

static bool read_members(struct conn *source, const char *publication, struct rows **ret_rows,
                         struct err *err)
{
    const char *params[] = {publication};
    return conn_query_params(source,
                             "SELECT r.prrelid, n.nspname, c.relname, c.relkind"
                             " FROM pg_catalog.pg_publication_rel r"
                             " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
                             " JOIN pg_catalog.pg_class c ON c.oid = r.prrelid"
                             " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                             " WHERE p.pubname = $1 ORDER BY 2, 3",
                             1, params, ret_rows, err) ||
           err_wrap(err, "could not read publication \"%s\"", publication);
}

static bool is_member(const struct rows *members, uint32_t oid)
{
    for (int i = 0; i < rows_count(members); i++)
        if (rows_oid(members, i, 0) == oid)
            return true;
    return false;
}

/* A user's publication may be for all tables, or for schemas: the server knows. */
bool publication_carries(struct conn *source, const char *const names[2],
                         const struct table_list *tables, bool **ret_is_carried, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {names[0], names[1]};
    if (!conn_query_params(
            source,
            "SELECT t.relid FROM pg_catalog.pg_publication p,"
            " LATERAL pg_catalog.pg_get_publication_tables(p.pubname) t"
            " WHERE p.pubname IN ($1, $2)"
            " UNION SELECT r.prrelid FROM pg_catalog.pg_publication_rel r"
            " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
            " WHERE p.pubname IN ($1, $2)", /* the view lists leaves, not their roots */
            2, params, &rows, err))
        return err_wrap(err, "could not read the publications");
    *ret_is_carried = mem_alloc(tables->count + 1);
    for (size_t i = 0; i < tables->count; i++)
        (*ret_is_carried)[i] = is_member(rows, tables->items[i].oid);
    return true;
}

/* --- bringing in step --- */

struct step { /* one publication of the two */
    const char *name;
    const struct rows *members;
    struct strv *sql; /* what brings both in step */
};

static void put_member(const struct step *step, const char *verb, char kind, const char *schema,
                       const char *table)
{
    strv_take(step->sql, quote_sql("ALTER PUBLICATION %I %s TABLE %s%I.%I", step->name, verb,
                                   kind == 'p' ? "" : "ONLY ", schema, table));
}

/* Which of the two a table belongs to: 0, 1, or -1. A leaf goes by itself where its root cannot. */
static int place_of(const struct table_list *tables, const struct table *table, bool with_inserts)
{
    if (table->persistence != 'p')
        return -1;
    if (table->is_partition) {
        const struct table *root = table_list_find(tables, table->root_schema, table->root_name);
        bool is_alone = table->kind == 'r' && table->has_identity &&
                        !(root && publication_is_safe_root(tables, root));
        return is_alone ? 0 : -1;
    }
    if (table->kind == 'p' ? publication_is_safe_root(tables, table) : table->has_identity)
        return 0;
    return with_inserts ? 1 : -1;
}

static void put_additions(const struct step steps[2], const struct table_list *tables,
                          bool with_inserts, struct strv *ret_added)
{
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        int place = place_of(tables, table, with_inserts);
        if (place < 0 || is_member(steps[place].members, table->oid))
            continue;
        put_member(&steps[place], "ADD", table->kind, table->schema, table->name);
        if (!is_member(steps[1 - place].members, table->oid))
            strv_take(ret_added, table_label(table));
    }
}

static void put_removals(const struct step steps[2], int at, const struct table_list *tables,
                         bool with_inserts, struct strv *ret_dropped)
{
    const struct rows *members = steps[at].members;
    for (int i = 0; i < rows_count(members); i++) {
        const struct table *table = table_list_find_oid(tables, rows_oid(members, i, 0));
        int place = table ? place_of(tables, table, with_inserts) : -1;
        if (place == at)
            continue;
        put_member(&steps[at], "DROP", rows_text(members, i, 3)[0], rows_text(members, i, 1),
                   rows_text(members, i, 2));
        if (place < 0)
            strv_take(ret_dropped,
                      str_fmt("%s.%s", rows_text(members, i, 1), rows_text(members, i, 2)));
    }
}

static bool run_each(struct conn *source, const struct strv *statements, struct err *err)
{
    for (size_t i = 0; i < statements->count; i++)
        if (!conn_exec(source, statements->items[i], err))
            return false;
    return true;
}

/* Each statement locks its table. All in one transaction are fast, but whoever locks two of the
 * tables in another order (a TRUNCATE) would meet us in a deadlock, and might be the one to lose:
 * we give up before anybody looks for deadlocks, and then hold one lock at a time. Within a
 * transaction of the caller's the locks that it holds must stay, and so it is not ours to end. */
static bool run_all(struct conn *source, const struct strv *statements, struct err *err)
{
    struct err ignored = {0};
    if (conn_in_transaction(source))
        return run_each(source, statements, err);
    AUTO(str_free) char *joined = strv_join(statements, "; ");
    AUTO(str_free)
    char *all = str_fmt("BEGIN; SET LOCAL lock_timeout = '20ms'; %s; COMMIT", joined);
    if (conn_exec(source, all, err))
        return true;
    if (!conn_exec(source, "ROLLBACK", &ignored) || strcmp(err->sqlstate, "55P03") != 0)
        return false;
    return run_each(source, statements, err);
}

bool publication_step(struct conn *source, const char *const names[2],
                      const struct table_list *tables, bool with_inserts, struct strv *ret_added,
                      struct strv *ret_dropped, struct err *err)
{
    AUTO(rows_free) struct rows *main = NULL;
    AUTO(rows_free) struct rows *inserts = NULL;
    AUTO(strv_release) struct strv sql = STRV_INIT;
    if (!read_members(source, names[0], &main, err) ||
        !read_members(source, names[1], &inserts, err))
        return false;
    const struct step steps[2] = {{names[0], main, &sql}, {names[1], inserts, &sql}};
    put_additions(steps, tables, with_inserts, ret_added);
    put_removals(steps, 0, tables, with_inserts, ret_dropped);
    put_removals(steps, 1, tables, with_inserts, ret_dropped);
    if (sql.count == 0 || run_all(source, &sql, err))
        return true;
    (void)err_wrap(err, "could not bring publication \"%s\" in step", names[0]);
    if (strcmp(err->sqlstate, "42501") != 0)
        return false;
    err->kind = ERR_CONFIG;
    return err_hint(err, "make the role a member of the role that owns the tables: GRANT owner TO "
                         "role");
}
