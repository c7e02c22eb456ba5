/* A relation of the stream as the target has it: columns, types, the key and its operators.
 *
 * What must not pass in silence is caught here: a column that the target lacks, a type that has
 * changed since the copy (its rewrite is not in the stream). */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "target/postgres/inside.h"

enum {
    FIRST_USER_OID = 16384, /* types below have one OID on all servers */
    FRESH_MS = 5000,
};

/* The table and its partitions. (pg_partition_tree() would lock them, and wait for a TRUNCATE in
 * our own group.) */
#define TREE                                                                  \
    "(WITH RECURSIVE tree (oid) AS (SELECT c.oid UNION ALL SELECT h.inhrelid" \
    " FROM tree JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid"      \
    " WHERE c.relkind = 'p') SELECT tree.oid FROM tree)"

static const char columns_sql[] =
    "SELECT a.attname, pg_catalog.format_type(a.atttypid, -1), a.atttypid, a.atttypmod,"
    " a.attidentity = 'a', c.relkind, pg_catalog.format_type(a.atttypid, a.atttypmod),"
    " a.attgenerated <> '', c.oid,"
    " EXISTS (SELECT FROM pg_catalog.pg_index i WHERE NOT i.indimmediate AND (i.indrelid IN " TREE
    ")),"
    " (WITH RECURSIVE base (oid) AS (SELECT a.atttypid UNION ALL SELECT d.typbasetype"
    "    FROM base JOIN pg_catalog.pg_type d ON d.oid = base.oid AND d.typtype = 'd')"
    "  SELECT pg_catalog.format_type(base.oid, -1) FROM base"
    "  JOIN pg_catalog.pg_type b ON b.oid = base.oid AND b.typtype <> 'd'"
    "  WHERE base.oid <> a.atttypid),"
    " c.reltype,"
    " EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgenabled IN ('A', $3::\"char\")"
    "   AND g.tgrelid IN " TREE ")"
    " OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid"
    "   AND w.rulename <> '_RETURN' AND w.ev_enabled IN ('A', $3::\"char\")),"
    " (SELECT pg_catalog.count(*) > 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid"
    "   AND (i.indisunique OR i.indisexclusion))"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_attribute a"
    "   ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') ORDER BY a.attnum";

/* The unique indexes that can identify a row, primary key first, with each column's equality: in a
 * btree (403) the third operator of its class; in the GiST index of a key WITHOUT OVERLAPS that one
 * finds what overlaps. */
static const char indexes_sql[] =
    "SELECT i.indexrelid, i.indnkeyatts, a.attname, opn.nspname, o.oprname, i.indisprimary,"
    " ocn.nspname, oc.opcname, con.nspname, co.collname"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_index i ON i.indrelid = c.oid"
    " CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]"
    " JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[k]"
    " JOIN pg_catalog.pg_namespace ocn ON ocn.oid = oc.opcnamespace"
    " LEFT JOIN pg_catalog.pg_collation co ON co.oid = i.indcollation[k]"
    " LEFT JOIN pg_catalog.pg_namespace con ON con.oid = co.collnamespace"
    " JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily"
    "   AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype"
    " JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr"
    "   AND CASE oc.opcmethod WHEN 403 THEN ao.amopstrategy = 3 ELSE o.oprname = '=' END"
    " JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace"
    " WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid"
    " AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL"
    " ORDER BY i.indisprimary DESC, i.indexrelid, k";

void destination_free(struct destination **destination)
{
    struct destination *d = *destination;
    if (!d)
        return;
    for (struct statement *s = d->statements, *next; s; s = next) {
        next = s->next;
        statement_free(&s);
    }
    for (size_t i = 0; i < d->relation->column_count; i++) {
        free(d->columns[i].type_name);
        free(d->columns[i].base);
        free(d->columns[i].equal);
        free(d->columns[i].arbiter);
    }
    free(d->columns);
    free(d->row);
    free(d->is_key);
    for (struct set_statement *s = d->sets, *next; s; s = next) {
        next = s->next;
        set_statement_free(&s);
    }
    strv_release(&d->others);
    free(d->label);
    free(d->schema);
    free(d->name);
    relation_unref(&d->relation);
    free(d);
    *destination = NULL;
}

static bool open_lookup(struct postgres *pg, struct err *err)
{
    struct conn_options options = {
        .url = pg->options.url,
        .what = "target",
        .is_raw = pg->options.is_raw,
        .application_name = pg->options.application_name,
        .connect_timeout_ms = pg->options.connect_timeout_ms,
        .tcp_user_timeout_ms = pg->options.tcp_user_timeout_ms,
        .stop = pg->options.stop,
    };
    return pg->lookup || conn_open(&options, &pg->lookup, err);
}

static int find_row(const struct rows *rows, const char *column)
{
    for (int row = 0; row < rows_count(rows); row++) {
        const char *name = rows_text(rows, row, 0);
        if (name && strcmp(name, column) == 0)
            return row;
    }
    return -1;
}

/* Whether the column travelled with this very type when its table was copied. */
static bool was_copied_so(const struct postgres *pg, const struct relation *relation,
                          const struct relation_column *column)
{
    const struct keeper_table *table =
        pg->options.tables ? keeper_table_find(pg->options.tables, relation->oid) : NULL;
    AUTO(buf_release) struct buf line = BUF_INIT;
    quote_add(&line, "%I %u %d\n", column->name, column->type_oid, column->typmod);
    return table && strstr(table->signature, line.data);
}

static bool lacks_column(const struct destination *destination,
                         const struct relation_column *column, struct err *err)
{
    AUTO(buf_release) struct buf table = BUF_INIT;
    AUTO(buf_release) struct buf name = BUF_INIT;
    quote_qualified(&table, destination->schema, destination->name);
    quote_ident(&name, column->name);
    (void)err_set(err, ERR_CONFIG,
                  "table %s.%s on the target lacks the column \"%s\" that the source has now",
                  destination->schema, destination->name, column->name);
    return err_hint(err,
                    "ALTER TABLE %s ADD COLUMN %s … on the target, with the definition that the "
                    "source has (SELECT format_type(%u, %d) there gives the type); then start "
                    "again. Rows that existed before keep what this command gives them: run "
                    "verify",
                    table.data, name.data, column->type_oid, column->typmod);
}

static bool check_type(const struct postgres *pg, const struct destination *destination,
                       size_t index, const struct rows *rows, int row, struct err *err)
{
    const struct relation *relation = destination->relation;
    const struct relation_column *column = &relation->columns[index];
    bool is_builtin = column->type_oid < FIRST_USER_OID; /* one OID on all servers */
    bool is_same_type =
        is_builtin ? column->type_oid == rows_oid(rows, row, 2)
                   : column->type_name && strcmp(column->type_name, rows_text(rows, row, 1)) == 0;
    if ((is_same_type && column->typmod == (int32_t)rows_int(rows, row, 3)) ||
        was_copied_so(pg, relation, column))
        return true;
    AUTO(buf_release) struct buf table = BUF_INIT;
    AUTO(buf_release) struct buf name = BUF_INIT;
    quote_qualified(&table, destination->schema, destination->name);
    quote_ident(&name, column->name);
    (void)err_set(err, ERR_CONFIG,
                  "column \"%s\" of %s.%s has another type on the source now (type OID %u, "
                  "modifier %d); the target has %s",
                  column->name, relation->schema, relation->name, column->type_oid, column->typmod,
                  rows_text(rows, row, 6));
    return err_hint(err,
                    "ALTER TABLE %s ALTER COLUMN %s TYPE … on the target as was done on the "
                    "source; then start again. What the source's command did to existing rows is "
                    "not in the stream: run verify",
                    table.data, name.data);
}

static bool find_column(const struct relation *relation, const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < relation->column_count; i++)
        if (strcmp(relation->columns[i].name, name) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

/* The table's row type, column by column. */
static void note_row(struct destination *destination, const struct rows *rows)
{
    destination->row_type_oid = rows_oid(rows, 0, 11);
    destination->row = mem_alloc((size_t)rows_count(rows) * sizeof(*destination->row));
    for (int row = 0; row < rows_count(rows); row++) {
        const char *name = rows_text(rows, row, 0);
        if (!name)
            continue;
        struct row_column *column = &destination->row[destination->row_count++];
        column->type_oid = rows_oid(rows, row, 2);
        column->is_sent = find_column(destination->relation, name, &column->column);
    }
}

/* Rows can be written by sets when the server can find each by its key, and no column needs the
 * care of statement.c. Without a key: INSERTs only. */
static void judge_sets(struct destination *destination)
{
    const struct relation *relation = destination->relation;
    destination->is_key = mem_alloc(relation->column_count + 1);
    destination->can_set = destination->row_count > 0 && destination->row_count <= ROW_COLUMNS_MAX;
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct destination_column *column = &destination->columns[i];
        destination->is_key[i] = destination->has_key_index && column->equal;
        if (column->is_identity_always && !destination->is_key[i])
            destination->can_set = false;
    }
}

static void note_others(struct destination *destination, const struct rows *rows)
{
    for (int row = 0; row < rows_count(rows); row++) {
        size_t unused = 0;
        const char *name = rows_text(rows, row, 0);
        if (name && !rows_bool(rows, row, 7) && !find_column(destination->relation, name, &unused))
            strv_add(&destination->others, name);
    }
}

/* A name can move to another table (a rename swap): the table of that name must be the one into
 * which this very table of the source was copied. */
static bool check_same_table(const struct postgres *pg, const struct relation *relation,
                             uint32_t target_oid, struct err *err)
{
    const struct keeper_table *kept =
        pg->options.tables ? keeper_table_find(pg->options.tables, relation->oid) : NULL;
    if (!kept || kept->target_oid == target_oid)
        return true;
    (void)err_set(err, ERR_CONFIG,
                  "table %s.%s of the source was copied as %s.%s, which is not the table %s.%s "
                  "that the target has now",
                  relation->schema, relation->name, kept->schema, kept->name, relation->schema,
                  relation->name);
    return err_hint(err, "it was renamed on the source: repeat the ALTER TABLE … RENAME on the "
                         "target, then start again");
}

/* The table that the relation's rows were copied into, when that has another name: its root's. */
static bool find_root(struct postgres *pg, struct destination *destination, struct err *err)
{
    const struct relation *relation = destination->relation;
    AUTO(rows_free) struct rows *rows = NULL;
    const struct keeper_table *kept =
        pg->options.tables ? keeper_table_find(pg->options.tables, relation->oid) : NULL;
    if (!pg->options.via_root || !kept || !kept->target_oid)
        return true;
    AUTO(str_free)
    char *sql = quote_sql("SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
                          " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                          " WHERE c.oid = %u",
                          kept->target_oid);
    if (!conn_query(pg->lookup, sql, &rows, err))
        return false;
    if (rows_count(rows) == 0) {
        (void)err_set(err, ERR_CONFIG, "the target's table into which %s was copied is gone",
                      destination->label);
        return err_hint(err, "remove the pipeline with tear-down, empty the target and copy again");
    }
    if (strcmp(rows_text(rows, 0, 0), kept->schema) == 0 &&
        strcmp(rows_text(rows, 0, 1), kept->name) == 0)
        return true;
    destination->is_routed = true;
    str_set(&destination->schema, str_dup(rows_text(rows, 0, 0)));
    str_set(&destination->name, str_dup(rows_text(rows, 0, 1)));
    str_set(&destination->label, str_fmt("%s.%s in %s.%s", relation->schema, relation->name,
                                         destination->schema, destination->name));
    return true;
}

static bool read_columns(struct postgres *pg, struct destination *destination, struct err *err)
{
    const struct relation *relation = destination->relation;
    const char *params[] = {destination->schema, destination->name, pg->is_replica ? "R" : "O"};
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(pg->lookup, columns_sql, 3, params, &rows, err))
        return false;
    if (rows_count(rows) == 0) {
        (void)err_set(err, ERR_CONFIG, "the target has no table %s", destination->label);
        return err_hint(err, "create it there as it is on the source, or rename it as was done "
                             "there, then start again");
    }
    if (!check_same_table(pg, relation, rows_oid(rows, 0, 8), err))
        return false;
    destination->is_partitioned = rows_text(rows, 0, 5)[0] == 'p';
    destination->has_deferrable = rows_bool(rows, 0, 9);
    for (size_t i = 0; i < relation->column_count; i++) {
        int row = find_row(rows, relation->columns[i].name);
        if (row < 0)
            return lacks_column(destination, &relation->columns[i], err);
        if (!check_type(pg, destination, i, rows, row, err))
            return false;
        destination->columns[i].type_name = str_dup(rows_text(rows, row, 1));
        destination->columns[i].is_identity_always = rows_bool(rows, row, 4);
        const char *base = rows_text(rows, row, 10);
        destination->columns[i].base = base ? str_fmt("::%s", base) : str_dup("");
    }
    destination->has_triggers = rows_bool(rows, 0, 12);
    destination->has_other_unique = rows_bool(rows, 0, 13);
    note_others(destination, rows);
    note_row(destination, rows);
    return true;
}

/* Whether the index (rows first … first + count) is the relation's identity. Under FULL the
 * target's primary key serves: the old row holds all columns. */
static bool index_fits(const struct relation *relation, const struct rows *rows, int first,
                       int count)
{
    size_t keys = 0;
    for (size_t i = 0; i < relation->column_count; i++)
        keys += relation->columns[i].is_key;
    if (relation->replica_identity == 'f' ? !rows_bool(rows, first, 5) : keys != (size_t)count)
        return false;
    for (int row = first; row < first + count; row++) {
        size_t index = 0;
        if (!find_column(relation, rows_text(rows, row, 2), &index) ||
            !relation->columns[index].is_key)
            return false;
    }
    return true;
}

static void take_key(struct destination *destination, const struct rows *rows, int first, int count)
{
    destination->has_key = destination->has_key_index = true;
    for (int row = first; row < first + count; row++) {
        size_t index = 0;
        AUTO(buf_release) struct buf equal = BUF_INIT;
        AUTO(buf_release) struct buf arbiter = BUF_INIT;
        if (rows_text(rows, row, 9))
            quote_add(&arbiter, "COLLATE %I.%I ", rows_text(rows, row, 8), rows_text(rows, row, 9));
        quote_add(&equal, "%sOPERATOR(%I.%s)", buf_text(&arbiter), rows_text(rows, row, 3),
                  rows_text(rows, row, 4));
        quote_add(&arbiter, "%I.%I", rows_text(rows, row, 6), rows_text(rows, row, 7));
        if (find_column(destination->relation, rows_text(rows, row, 2), &index)) {
            str_set(&destination->columns[index].equal, buf_take(&equal));
            str_set(&destination->columns[index].arbiter, buf_take(&arbiter));
        }
    }
}

/* Without a fitting index on the target rows are found by the key all the same, only slowly. */
static void take_bare_key(struct destination *destination)
{
    const struct relation *relation = destination->relation;
    if (relation->replica_identity == 'f')
        return;
    for (size_t i = 0; i < relation->column_count; i++)
        if (relation->columns[i].is_key) {
            destination->has_key = true;
            destination->columns[i].equal = str_dup("OPERATOR(pg_catalog.=)");
        }
}

static bool read_key(struct postgres *pg, struct destination *destination, struct err *err)
{
    const struct relation *relation = destination->relation;
    const char *params[] = {destination->schema, destination->name};
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(pg->lookup, indexes_sql, 2, params, &rows, err))
        return false;
    for (int first = 0, next; first < rows_count(rows); first = next) {
        next = first;
        while (next < rows_count(rows) && rows_oid(rows, next, 0) == rows_oid(rows, first, 0))
            next++;
        if (next - first == rows_int(rows, first, 1) &&
            index_fits(relation, rows, first, next - first)) {
            take_key(destination, rows, first, next - first);
            return true;
        }
    }
    take_bare_key(destination);
    return true;
}

/* Answers may still be on their way: what was known under this OID is freed later. */
static void retire_older(struct postgres *pg, struct destination *made)
{
    struct destination *destination, *next;
    HASH_ITER (hh, pg->destinations, destination, next) {
        if (destination->relation->oid != made->relation->oid)
            continue;
        made->refusals = destination->refusals;
        made->refused_ms = destination->refused_ms;
        made->ordered_left = destination->ordered_left;
        memcpy(made->tallies, destination->tallies, sizeof(made->tallies));
        HASH_DEL(pg->destinations, destination);
        destination->next_retired = pg->retired;
        pg->retired = destination;
    }
}

static bool describe(struct postgres *pg, const struct relation *relation,
                     struct destination **ret_destination, struct err *err)
{
    AUTO(destination_free) struct destination *made = mem_alloc(sizeof(*made));
    made->serial = relation->serial;
    made->described_ms = clock_ms();
    made->relation = relation_ref(relation);
    made->label = str_fmt("%s.%s", relation->schema, relation->name);
    made->schema = str_dup(relation->schema);
    made->name = str_dup(relation->name);
    made->columns = mem_alloc(relation->column_count * sizeof(*made->columns));
    if (!open_lookup(pg, err))
        return false;
    if (!find_root(pg, made, err) || !read_columns(pg, made, err) || !read_key(pg, made, err)) {
        if (pg->options.failure && err->kind == ERR_CONFIG && !err->sqlstate[0])
            apply_failure_table(pg->options.failure, relation->oid, err); /* our own checks */
        return false;
    }
    judge_sets(made);
    retire_older(pg, made);
    HASH_ADD(hh, pg->destinations, serial, sizeof(uint64_t), made);
    *ret_destination = TAKE(made);
    return true;
}

bool destination_find(struct postgres *pg, const struct relation *relation,
                      struct destination **ret_destination, struct err *err)
{
    struct destination *found = NULL;
    HASH_FIND(hh, pg->destinations, &relation->serial, sizeof(uint64_t), found);
    if (found) {
        *ret_destination = found;
        return true;
    }
    return describe(pg, relation, ret_destination, err);
}

bool destination_refresh(struct postgres *pg, const struct relation *relation, int64_t group_ms,
                         struct destination **ret_destination, struct err *err)
{
    return destination_find(pg, relation, ret_destination, err) &&
           (group_ms - (*ret_destination)->described_ms < FRESH_MS ||
            describe(pg, relation, ret_destination, err));
}
