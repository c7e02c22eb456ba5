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
                      " publish_via_partition_root = false)",
                      publication,
                      is_inserts_only ? "insert, truncate" : "insert, update, delete, truncate") ||
           err_wrap(err, "could not create publication \"%s\"", publication);
}

bool publication_drop(struct conn *source, const char *publication, bool *ret_dropped,
                      struct err *err)
{
    return publication_look(source, publication, ret_dropped, err) &&
           (conn_execf(source, err, "DROP PUBLICATION IF EXISTS %I", publication) ||
            err_wrap(err, "could not drop publication \"%s\"", publication));
}

bool publication_is_publishable(const struct table *table)
{
    return !table->is_partition && table->persistence == 'p';
}

bool publication_has_identity(const struct table_list *tables, const struct table *table)
{
    if (table->kind == 'r')
        return table->has_identity;
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
            "SELECT c.oid FROM pg_catalog.pg_publication_tables t"
            " JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname"
            " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename"
            " WHERE t.pubname IN ($1, $2)"
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
    struct buf *sql;
};

static void put_member(const struct step *step, const char *verb, char kind, const char *schema,
                       const char *table)
{
    quote_add(step->sql, "ALTER PUBLICATION %I %s TABLE %s%I.%I;", step->name, verb,
              kind == 'p' ? "" : "ONLY ", schema, table);
}

/* Which of the two a table belongs to: 0, 1, or -1. */
static int place_of(const struct table_list *tables, const struct table *table, bool with_inserts)
{
    if (!publication_is_publishable(table))
        return -1;
    if (publication_has_identity(tables, table))
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

bool publication_step(struct conn *source, const char *const names[2],
                      const struct table_list *tables, bool with_inserts, struct strv *ret_added,
                      struct strv *ret_dropped, struct err *err)
{
    AUTO(rows_free) struct rows *main = NULL;
    AUTO(rows_free) struct rows *inserts = NULL;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (!read_members(source, names[0], &main, err) ||
        !read_members(source, names[1], &inserts, err))
        return false;
    const struct step steps[2] = {{names[0], main, &sql}, {names[1], inserts, &sql}};
    put_additions(steps, tables, with_inserts, ret_added);
    put_removals(steps, 0, tables, with_inserts, ret_dropped);
    put_removals(steps, 1, tables, with_inserts, ret_dropped);
    if (sql.len == 0)
        return true;
    AUTO(str_free) char *all = str_fmt("BEGIN; %s COMMIT", sql.data);
    if (conn_exec(source, all, err))
        return true;
    struct err ignored = {0};
    (void)conn_exec(source, "ROLLBACK", &ignored);
    (void)err_wrap(err, "could not bring publication \"%s\" in step", names[0]);
    if (strcmp(err->sqlstate, "42501") != 0)
        return false;
    err->kind = ERR_CONFIG;
    return err_hint(err, "make the role a member of the role that owns the tables: GRANT owner TO "
                         "role");
}
