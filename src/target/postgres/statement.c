/* SQL for single changes: INSERT, UPDATE, DELETE with parameters straight from the wire. Each
 * shape (kind of change, form of the old row, columns present) is prepared once per session. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "target/postgres/inside.h"

void statement_free(struct statement **statement)
{
    free((*statement)->has_new);
    free((*statement)->params);
    free((*statement)->sql);
    free(*statement);
    *statement = NULL;
}

static bool fits(const struct statement *statement, const struct change *change, bool moves)
{
    if (statement->kind != change->kind || statement->old_kind != change->old_kind ||
        statement->moves != moves)
        return false;
    if (change->kind == CHANGE_UPDATE)
        for (size_t i = 0; i < change->new.count; i++)
            if (statement->has_new[i] != (change->new.values[i].kind != VALUE_UNCHANGED))
                return false;
    return true;
}

static void put_param(struct statement *statement, struct buf *sql, size_t column, bool is_old)
{
    statement->params[statement->param_count++] =
        (struct statement_param){.column = column, .is_old = is_old};
    buf_fmt(sql, "$%zu", statement->param_count);
}

static void put_table(struct buf *sql, const struct destination *destination)
{
    if (!destination->is_partitioned)
        buf_puts(sql, "ONLY ");
    quote_qualified(sql, destination->relation->schema, destination->relation->name);
}

static void put_insert(const struct destination *destination, struct statement *statement,
                       struct buf *sql)
{
    const struct relation *relation = destination->relation;
    buf_puts(sql, "INSERT INTO ");
    quote_qualified(sql, relation->schema, relation->name);
    if (relation->column_count == 0) {
        buf_puts(sql, " DEFAULT VALUES");
        return;
    }
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : " (");
        quote_ident(sql, relation->columns[i].name);
    }
    buf_puts(sql, ") OVERRIDING SYSTEM VALUE VALUES");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : " (");
        put_param(statement, sql, i, false);
    }
    buf_putc(sql, ')');
}

/* The key, with the operators of the index that carries it: with an empty search_path a bare "="
 * may be another operator (citext). */
static void put_where_key(const struct destination *destination, struct statement *statement,
                          struct buf *sql)
{
    const struct relation *relation = destination->relation;
    bool is_old = statement->old_kind != OLD_NONE;
    const char *glue = " WHERE ";
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!destination->columns[i].equal)
            continue;
        buf_puts(sql, glue);
        quote_ident(sql, relation->columns[i].name);
        buf_fmt(sql, " %s ", destination->columns[i].equal);
        put_param(statement, sql, i, is_old);
        buf_fmt(sql, "::%s", destination->columns[i].type_name);
        glue = " AND ";
    }
}

/* Without a key: exactly one of the rows that equal the old one byte for byte. ctid alone is not
 * unique in a partitioned table. */
static void put_where_image(const struct destination *destination, struct statement *statement,
                            struct buf *sql)
{
    const struct relation *relation = destination->relation;
    buf_puts(sql, " WHERE (tableoid, ctid) = (SELECT t.tableoid, t.ctid FROM ");
    put_table(sql, destination);
    buf_puts(sql, " t WHERE (SELECT r FROM (SELECT ");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", t." : "t.");
        quote_ident(sql, relation->columns[i].name);
    }
    buf_puts(sql, ") r) OPERATOR(pg_catalog.*=) (SELECT s FROM (SELECT ");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : "");
        put_param(statement, sql, i, true);
        buf_fmt(sql, "::%s AS ", destination->columns[i].type_name);
        quote_ident(sql, relation->columns[i].name);
    }
    buf_puts(sql, ") s) LIMIT 1)");
}

static void put_where(const struct destination *destination, struct statement *statement,
                      struct buf *sql)
{
    if (destination->has_key)
        put_where_key(destination, statement, sql);
    else
        put_where_image(destination, statement, sql);
}

/* False: no column to set. GENERATED ALWAYS identity columns can only be set to DEFAULT. */
static bool put_update(const struct destination *destination, struct statement *statement,
                       struct buf *sql)
{
    const struct relation *relation = destination->relation;
    const char *glue = " SET ";
    buf_puts(sql, "UPDATE ");
    put_table(sql, destination);
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!statement->has_new[i] || destination->columns[i].is_identity_always)
            continue;
        buf_puts(sql, glue);
        quote_ident(sql, relation->columns[i].name);
        buf_puts(sql, " = ");
        put_param(statement, sql, i, false);
        glue = ", ";
    }
    if (strcmp(glue, ", ") != 0)
        return false;
    put_where(destination, statement, sql);
    return true;
}

static bool is_same_value(const struct value *a, const struct value *b)
{
    return a->kind == b->kind && a->len == b->len &&
           (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* A GENERATED ALWAYS identity column cannot be set by UPDATE. When its value has changed, or may
 * have (outside the key the stream does not say), the row is deleted and inserted again. */
static bool must_move(const struct destination *destination, const struct change *change)
{
    if (change->kind != CHANGE_UPDATE)
        return false;
    for (size_t i = 0; i < destination->relation->column_count; i++) {
        if (!destination->columns[i].is_identity_always ||
            change->new.values[i].kind == VALUE_UNCHANGED)
            continue;
        bool is_key = destination->relation->columns[i].is_key;
        bool is_known = change->old_kind == OLD_FULL || is_key;
        bool has_old = change->old_kind != OLD_NONE;
        if (!is_known ||
            (has_old && !is_same_value(&change->old.values[i], &change->new.values[i])))
            return true;
    }
    return false;
}

/* The row as it was, with what the stream carries put over it. */
static void put_move(const struct destination *destination, struct statement *statement,
                     struct buf *sql)
{
    const struct relation *relation = destination->relation;
    AUTO(buf_release) struct buf values = BUF_INIT;
    buf_puts(sql, "WITH gone AS (DELETE FROM ");
    put_table(sql, destination);
    put_where(destination, statement, sql);
    buf_puts(sql, " RETURNING *) INSERT INTO ");
    quote_qualified(sql, relation->schema, relation->name);
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : " (");
        quote_ident(sql, relation->columns[i].name);
        buf_puts(&values, i ? ", " : "");
        if (statement->has_new[i]) {
            put_param(statement, &values, i, false);
            buf_fmt(&values, "::%s", destination->columns[i].type_name);
        } else {
            quote_add(&values, "gone.%I", relation->columns[i].name);
        }
    }
    for (size_t i = 0; i < destination->others.count; i++) {
        quote_add(sql, ", %I", destination->others.items[i]);
        quote_add(&values, ", gone.%I", destination->others.items[i]);
    }
    buf_fmt(sql, ") OVERRIDING SYSTEM VALUE SELECT %s FROM gone", values.data);
}

static void put_delete(const struct destination *destination, struct statement *statement,
                       struct buf *sql)
{
    buf_puts(sql, "DELETE FROM ");
    put_table(sql, destination);
    put_where(destination, statement, sql);
}

struct statement *statement_find(struct postgres *pg, struct destination *destination,
                                 const struct change *change)
{
    bool moves = must_move(destination, change);
    for (struct statement *s = destination->statements; s; s = s->next)
        if (fits(s, change, moves))
            return s;

    size_t columns = destination->relation->column_count;
    struct statement *made = mem_alloc(sizeof(*made));
    made->kind = change->kind;
    made->old_kind = change->old_kind;
    made->moves = moves;
    made->params = mem_alloc((2 * columns + 1) * sizeof(*made->params));
    made->has_new = mem_alloc(columns + 1);
    for (size_t i = 0; i < change->new.count; i++)
        made->has_new[i] = change->new.values[i].kind != VALUE_UNCHANGED;

    bool has_sql = true;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (change->kind == CHANGE_INSERT)
        put_insert(destination, made, &sql);
    else if (change->kind == CHANGE_DELETE)
        put_delete(destination, made, &sql);
    else if (moves)
        put_move(destination, made, &sql);
    else
        has_sql = put_update(destination, made, &sql);
    if (has_sql)
        made->sql = buf_take(&sql);
    (void)snprintf(made->name, sizeof(made->name), "t%u", ++pg->statement_count);
    made->next = destination->statements;
    destination->statements = made;
    return made;
}
