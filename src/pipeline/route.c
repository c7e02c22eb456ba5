/* Leaves into their root's table. See route.h. */
#include "pipeline/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/quote.h"
#include "schema/array.h"

bool route_is_leaf(const struct engine *engine, const struct table *table)
{
    return engine->settings->publish_via_root && table->root_name;
}

static bool has_name(const struct table *table, const char *schema, const char *name)
{
    return strcmp(table->name, name) == 0 && strcmp(table->schema, schema) == 0;
}

bool route_is_routed(const struct engine *engine, const struct table_list *there,
                     const struct keeper_table *kept)
{
    const struct table *to = engine->settings->publish_via_root && kept->target_oid
                                 ? table_list_find_oid(there, kept->target_oid)
                                 : NULL;
    return to && !has_name(to, kept->schema, kept->name);
}

/* --- what starts again --- */

struct oids {        /* of tables of the target */
    uint32_t *items; /* owned */
    size_t count;
};

static void oids_release(struct oids *oids)
{
    free(oids->items);
}

static bool oids_has(const struct oids *oids, uint32_t oid)
{
    for (size_t i = 0; i < oids->count; i++)
        if (oids->items[i] == oid)
            return true;
    return false;
}

static void oids_add(struct oids *oids, uint32_t oid)
{
    if (!oid || oids_has(oids, oid))
        return;
    oids->items = mem_resize(oids->items, oids->count + 1, sizeof(oid));
    oids->items[oids->count++] = oid;
}

/* The target's roots of leaves that the keeper does not know. */
static bool find_roots_of_new(const struct engine *engine, const struct table_list *tables,
                              const struct keeper_tables *kept, struct oids *oids, struct err *err)
{
    AUTO(buf_release) struct buf schemas = BUF_INIT;
    AUTO(buf_release) struct buf names = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *table = &tables->items[i];
        if (table->kind != 'r' || !table->root_name || keeper_table_find(kept, table->oid))
            continue;
        array_add(&schemas, table->root_schema);
        array_add(&names, table->root_name);
    }
    const char *params[] = {array_end(&schemas), array_end(&names)};
    if (!conn_query_params(engine->keeper,
                           "SELECT DISTINCT c.oid FROM pg_catalog.pg_class c"
                           " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                           " JOIN ROWS FROM (pg_catalog.unnest($1::text[]),"
                           "  pg_catalog.unnest($2::text[])) w(schema, name)"
                           "  ON w.schema = n.nspname AND w.name = c.relname",
                           2, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        oids_add(oids, rows_oid(rows, i, 0));
    return true;
}

bool route_restart(const struct engine *engine, const struct table_list *tables,
                   struct keeper_tables *kept, bool *ret_has_marked, struct err *err)
{
    AUTO(oids_release) struct oids oids = {0};
    *ret_has_marked = false;
    if (!engine->settings->publish_via_root || kept->count == 0)
        return true;
    if (!find_roots_of_new(engine, tables, kept, &oids, err))
        return err_wrap(err, "could not look for partitioned tables on the target");
    for (size_t i = 0; i < kept->count; i++)
        if (!kept->items[i].is_copied)
            oids_add(&oids, kept->items[i].target_oid);
    for (size_t i = 0; i < kept->count; i++) {
        struct keeper_table *table = &kept->items[i];
        if (!table->is_copied || !oids_has(&oids, table->target_oid))
            continue;
        table->is_copied = false;
        *ret_has_marked = true;
    }
    return true;
}

/* --- the user's own roots --- */

/* A row for each partition of the named roots; one without, when a root has none. */
static const char shapes_sql[] =
    "SELECT n.nspname, c.relname, c.oid, coalesce(pg_catalog.pg_get_partkeydef(c.oid), ''),"
    " pg_catalog.quote_ident(pn.nspname) || '.' || pg_catalog.quote_ident(p.relname) || ' '"
    "  || pg_catalog.pg_get_expr(p.relpartbound, p.oid)"
    " FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]))"
    "  w(schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
    "  AND c.relkind IN ('r', 'p')"
    " LEFT JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid AND c.relkind = 'p'"
    " LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid"
    " LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace";

enum shape_column { NSP, REL, OID, KEY, PART };

static bool is_root(const struct rows *shapes, int row, const struct table *root)
{
    return has_name(root, rows_text(shapes, row, NSP), rows_text(shapes, row, REL));
}

/* Whether one of there's partitions, rows first … of one root, is also one of here's. */
static bool shares_partition(const struct rows *here, const struct rows *there,
                             const struct table *root, const char *part)
{
    for (int row = 0; row < rows_count(here); row++) {
        const char *own = rows_text(here, row, PART);
        if (own && is_root(here, row, root) && strcmp(own, part) == 0)
            return true;
    }
    return rows_count(there) == 0;
}

static const char *key_of(const struct rows *shapes, const struct table *root)
{
    for (int row = 0; row < rows_count(shapes); row++)
        if (is_root(shapes, row, root))
            return rows_text(shapes, row, KEY);
    return NULL;
}

static bool is_users_own(const struct rows *here, const struct rows *there,
                         const struct table *root)
{
    const char *key = key_of(here, root);
    const char *key_there = key_of(there, root);
    bool has_partitions = false;
    if (!key_there || !key)
        return false; /* it is made as it is on the source */
    if (strcmp(key, key_there) != 0)
        return true;
    for (int row = 0; row < rows_count(there); row++) {
        const char *part = is_root(there, row, root) ? rows_text(there, row, PART) : NULL;
        if (part && shares_partition(here, there, root, part))
            return false;
        has_partitions = has_partitions || part;
    }
    return has_partitions;
}

static bool add_tree(struct conn *source, uint32_t root, struct buf *oids, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free)
    char *sql =
        quote_sql("WITH tree(oid) AS (SELECT relid::oid FROM pg_catalog.pg_partition_tree(%u))"
                  " SELECT oid FROM tree UNION ALL SELECT d.objid"
                  " FROM pg_catalog.pg_depend d JOIN tree ON d.refobjid = tree.oid"
                  " JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
                  " WHERE d.classid = 1259 AND d.refclassid = 1259 AND d.deptype = 'i'",
                  root);
    if (!conn_query(source, sql, &rows, err))
        return false;
    for (int row = 0; row < rows_count(rows); row++)
        buf_fmt(oids, "%s%u", oids->len ? "," : "", rows_oid(rows, row, 0));
    return true;
}

bool route_find_own(const struct engine *engine, struct conn *source,
                    const struct table_list *tables, struct buf *oids, struct err *err)
{
    AUTO(buf_release) struct buf schemas = BUF_INIT;
    AUTO(buf_release) struct buf names = BUF_INIT;
    AUTO(rows_free) struct rows *here = NULL;
    AUTO(rows_free) struct rows *there = NULL;
    if (!engine->settings->publish_via_root)
        return true;
    for (size_t i = 0; i < tables->count; i++) {
        if (tables->items[i].kind != 'p' || tables->items[i].is_partition)
            continue;
        array_add(&schemas, tables->items[i].schema);
        array_add(&names, tables->items[i].name);
    }
    const char *params[] = {array_end(&schemas), array_end(&names)};
    if (!conn_query_params(source, shapes_sql, 2, params, &here, err) ||
        !conn_query_params(engine->keeper, shapes_sql, 2, params, &there, err))
        return err_wrap(err, "could not compare partitioned tables");
    for (size_t i = 0; i < tables->count; i++) {
        const struct table *root = &tables->items[i];
        if (root->kind == 'p' && !root->is_partition && is_users_own(here, there, root) &&
            !add_tree(source, root->oid, oids, err))
            return false;
    }
    return true;
}

/* --- tables that were attached or detached --- */

static bool refuse_switched_off(const struct table *table, const struct table *to, struct err *err)
{
    (void)err_set(
        err, ERR_CONFIG,
        "the rows of %s.%s are in the target's table %s.%s: publish_via_root was set when "
        "they were copied",
        table->schema, table->name, to->schema, to->name);
    return err_hint(err, "set it again, or remove the pipeline with tear-down, empty the target "
                         "and copy again");
}

bool route_check_moved(const struct engine *engine, const struct table_list *there,
                       const struct keeper_tables *all, const struct keeper_table *kept,
                       const struct table *table, bool *ret_is_moved, struct err *err)
{
    const struct table *was = table_list_find_oid(there, kept->target_oid);
    const struct table *goal = table_list_goal(there, table, engine->settings->publish_via_root);
    *ret_is_moved = false;
    if (was && was == goal)
        return true;
    if (!engine->settings->publish_via_root)
        return !was || !table_is_leaf_of(table, was) || refuse_switched_off(table, was, err);
    if (!was && !table->root_name)
        return true;
    bool is_detached = !table->root_name && !has_name(was, kept->schema, kept->name);
    if (!table->root_name && !is_detached) /* a rename: the stream stops there and says so */
        return true;
    for (size_t i = 0; is_detached && i < all->count; i++)
        if (all->items[i].target_oid == kept->target_oid && all->items[i].oid != kept->oid &&
            !keeper_restart_table(engine->keeper, &engine->ref, all->items[i].oid, err))
            return false;
    *ret_is_moved = true;
    return true;
}

/* --- TRUNCATE --- */

static bool is_listed(const struct truncated *truncated, uint32_t oid)
{
    for (size_t i = 0; i < truncated->all_count; i++)
        if (truncated->all[i]->oid == oid)
            return true;
    return false;
}

/* The leaves of the same root that the TRUNCATE left out, as an array; false: there are none. */
static bool find_spared(const struct keeper_tables *kept, const struct keeper_table *leaf,
                        const struct truncated *truncated, struct buf *oids)
{
    bool has_some = false;
    for (size_t i = 0; i < kept->count; i++) {
        const struct keeper_table *other = &kept->items[i];
        if (other->target_oid != leaf->target_oid || is_listed(truncated, other->oid))
            continue;
        array_add_oid(oids, other->oid);
        has_some = true;
    }
    (void)array_end(oids);
    return has_some;
}

/* One of the spared that is still a partition of the root (the others have gone with all their
 * rows): the root, and what takes it out of our publications. */
static const char spared_sql[] =
    "SELECT r.oid::pg_catalog.regclass,"
    " (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER PUBLICATION %I DROP TABLE %s',"
    "   p.pubname, m.prrelid::pg_catalog.regclass), '; ')"
    "  FROM pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid"
    "  WHERE p.pubname = ANY ($4::text[]) AND pg_catalog.obj_description(p.oid, 'pg_publication')"
    "   = 'trunkline publication' AND m.prrelid IN ("
    "   SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid)))"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_class r ON r.oid ="
    "  pg_catalog.pg_partition_root(c.oid)"
    " JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) AND c.relispartition AND c.relpersistence = 'p'"
    " AND n.nspname = $2 AND r.relname = $3 ORDER BY c.oid LIMIT 1";

static bool read_name(struct engine *engine, uint32_t target_oid, struct rows **ret_rows,
                      struct err *err)
{
    AUTO(str_free)
    char *sql = quote_sql("SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
                          " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                          " WHERE c.oid = %u",
                          target_oid);
    return conn_query(engine->keeper, sql, ret_rows, err);
}

static bool refuse_truncate(const struct engine *engine, const struct relation *leaf,
                            const char *root, const char *remedy, struct err *err)
{
    (void)err_set(err, ERR_CONFIG,
                  "%s.%s was truncated alone: with publish_via_root its rows are in the target's "
                  "table %s among those of other partitions, and the stream does not say which "
                  "they are",
                  leaf->schema, leaf->name, root);
    if (!remedy || !engine->pipeline.consistent_from)
        return err_hint(err, "nothing of that transaction has been applied: remove the pipeline "
                             "with tear-down, empty the target and copy again; with DELETE in "
                             "place of TRUNCATE it goes through");
    return err_hint(
        err,
        "nothing of that transaction has been applied. To have %s copied again: %s, on "
        "the source, then start again; with DELETE in place of TRUNCATE it goes through",
        root, remedy);
}

static bool check_spared(struct engine *engine, const struct relation *leaf, uint32_t target_oid,
                         const char *spared, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(rows_free) struct rows *root = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf names = BUF_INIT;
    if (!read_name(engine, target_oid, &root, err))
        return false;
    if (rows_count(root) == 0)
        return true; /* the target has no such table any more, and says so */
    array_add(&names, engine->publication);
    if (engine->inserts_publication)
        array_add(&names, engine->inserts_publication);
    const char *params[] = {spared, rows_text(root, 0, 0), rows_text(root, 0, 1),
                            array_end(&names)};
    if (!engine_connect(engine, true, "prepare", &source, err) ||
        !conn_query_params(source, spared_sql, 4, params, &rows, err))
        return err_wrap(err, "could not look at the partitions of a truncated table");
    return rows_count(rows) == 0 ||
           refuse_truncate(engine, leaf, rows_text(rows, 0, 0), rows_text(rows, 0, 1), err);
}

bool route_check_truncate(struct engine *engine, const struct keeper_tables *kept,
                          const struct truncated *truncated, struct err *err)
{
    uint32_t looked_at = 0; /* the leaves of a root stand together, as a rule */
    for (size_t i = 0; engine->settings->publish_via_root && i < truncated->applied_count; i++) {
        AUTO(buf_release) struct buf spared = BUF_INIT;
        const struct relation *relation = truncated->applied[i];
        const struct keeper_table *leaf = keeper_table_find(kept, relation->oid);
        if (!leaf || !leaf->target_oid || leaf->target_oid == looked_at)
            continue;
        looked_at = leaf->target_oid;
        if (find_spared(kept, leaf, truncated, &spared) &&
            !check_spared(engine, relation, leaf->target_oid, spared.data, err))
            return false;
    }
    return true;
}
