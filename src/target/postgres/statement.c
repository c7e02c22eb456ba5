/* SQL for single changes: INSERT, UPDATE, DELETE with parameters straight from the wire. Each
 * shape (kind of change, form of the old row, columns present) is prepared once per session.
 *
 * A statement does all that its policy asks for (conflict.c): it is on its way before the answers
 * of those before it are read. */
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

/* `makes` follows from what is compared here. */
static bool fits(const struct statement *statement, const struct statement *shape,
                 const struct change *change)
{
    if (statement->kind != shape->kind || statement->old_kind != shape->old_kind ||
        statement->moves != shape->moves || statement->clears != shape->clears)
        return false;
    if (change->kind == CHANGE_UPDATE)
        for (size_t i = 0; i < change->new.count; i++)
            if (statement->has_new[i] != (change->new.values[i].kind != VALUE_UNCHANGED))
                return false;
    return true;
}

/* A value that the statement uses twice is sent once. */
static void put_param(struct statement *statement, struct buf *sql, size_t column, bool is_old)
{
    size_t i = 0;
    while (i < statement->param_count &&
           (statement->params[i].column != column || statement->params[i].is_old != is_old))
        i++;
    if (i == statement->param_count)
        statement->params[statement->param_count++] =
            (struct statement_param){.column = column, .is_old = is_old};
    buf_fmt(sql, "$%zu", i + 1);
}

/* The new value; of a column that the stream left out as unchanged the old one. */
static void put_new(const struct destination *destination, struct statement *statement,
                    struct buf *sql, size_t column)
{
    put_param(statement, sql, column, !statement->has_new[column]);
    buf_fmt(sql, "::%s", destination->columns[column].type_name);
}

static void put_table(struct buf *sql, const struct destination *destination)
{
    if (!destination->is_partitioned)
        buf_puts(sql, "ONLY ");
    quote_qualified(sql, destination->schema, destination->name);
}

/* The key, with the operators and collations of the index that carries it: with an empty
 * search_path a bare "=" may be another operator (citext), and a column may find equal what the
 * index does not. A domain over an enum has no operators: the index compares what it is over. */
static void put_key(const struct destination *destination, struct statement *statement,
                    struct buf *sql, bool is_old)
{
    const struct relation *relation = destination->relation;
    const char *glue = "";
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!destination->columns[i].equal)
            continue;
        const struct destination_column *column = &destination->columns[i];
        quote_add(sql, "%s%I%s %s ", glue, relation->columns[i].name, column->base, column->equal);
        put_param(statement, sql, i, is_old || !statement->has_new[i]);
        buf_fmt(sql, "::%s%s", column->type_name, column->base);
        glue = " AND ";
    }
}

static void put_column_names(const struct relation *relation, struct buf *sql)
{
    for (size_t i = 0; i < relation->column_count; i++)
        quote_add(sql, i ? ", %I" : "%I", relation->columns[i].name);
}

/* The row that is in the way is the one that the key's index finds: columns alone might name
 * several indexes. */
static void put_arbiter(const struct destination *destination, struct buf *sql)
{
    const struct relation *relation = destination->relation;
    const char *glue = " (";
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!destination->columns[i].arbiter)
            continue;
        buf_puts(sql, glue);
        quote_add(sql, "%I %s", relation->columns[i].name, destination->columns[i].arbiter);
        glue = ", ";
    }
    buf_putc(sql, ')');
}

/* Without naming an index, unless a constraint is DEFERRABLE: the server refuses that. */
static void put_keep(const struct destination *destination, struct statement *statement,
                     struct buf *sql)
{
    if (destination->has_deferrable && !destination->has_key_index)
        return;
    buf_puts(sql, " ON CONFLICT");
    if (destination->has_deferrable)
        put_arbiter(destination, sql);
    buf_puts(sql, " DO NOTHING");
    statement->answer = ANSWER_KEPT;
}

/* Whether the row is new. A partition with its columns in another order has no xmax to show; there
 * a look at the table as it was before the statement tells, for the price of a second search. */
static void put_is_new(const struct destination *destination, struct statement *statement,
                       struct buf *sql)
{
    buf_puts(sql, " RETURNING ");
    if (!destination->is_partitioned) {
        buf_puts(sql, "xmax OPERATOR(pg_catalog.=) 0");
        return;
    }
    buf_puts(sql, "NOT EXISTS (SELECT FROM ");
    put_table(sql, destination);
    buf_puts(sql, " WHERE ");
    put_key(destination, statement, sql, false);
    buf_putc(sql, ')');
}

/* Key columns are set too: what is equal may still be written differently. A GENERATED ALWAYS
 * identity column cannot be set: a row that has another value in it is not overwritten. */
static void put_overwrite(const struct destination *destination, struct statement *statement,
                          struct buf *sql)
{
    const struct relation *relation = destination->relation;
    AUTO(buf_release) struct buf guard = BUF_INIT;
    AUTO(buf_release) struct buf set = BUF_INIT;
    if (!destination->has_key_index)
        return;
    for (size_t i = 0; i < relation->column_count; i++) {
        const char *name = relation->columns[i].name;
        const struct destination_column *column = &destination->columns[i];
        if (!column->is_identity_always)
            quote_add(&set, "%s%I = EXCLUDED.%I", set.len ? ", " : "", name, name);
        else if (!column->arbiter)
            quote_add(&guard, "%sthere.%I OPERATOR(pg_catalog.=) EXCLUDED.%I",
                      guard.len ? " AND " : " WHERE ", name, name);
    }
    if (set.len == 0) { /* the row there is the row to write */
        put_keep(destination, statement, sql);
        return;
    }
    buf_puts(sql, " ON CONFLICT");
    put_arbiter(destination, sql);
    buf_fmt(sql, " DO UPDATE SET %s%s", set.data, buf_text(&guard));
    put_is_new(destination, statement, sql);
    statement->answer = ANSWER_UPSERT;
}

static void put_insert(const struct destination *destination, enum on_conflict policy,
                       struct statement *statement, struct buf *sql)
{
    const struct relation *relation = destination->relation;
    buf_puts(sql, "INSERT INTO ");
    quote_qualified(sql, destination->schema, destination->name);
    if (relation->column_count == 0) {
        buf_puts(sql, " DEFAULT VALUES");
        return;
    }
    buf_puts(sql, " AS there (");
    put_column_names(relation, sql);
    buf_puts(sql, ") OVERRIDING SYSTEM VALUE VALUES");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : " (");
        put_param(statement, sql, i, false);
    }
    buf_putc(sql, ')');
    switch (policy) {
    case CONFLICT_ERROR:
        break;
    case CONFLICT_NOTHING:
        put_keep(destination, statement, sql);
        break;
    case CONFLICT_UPDATE:
        put_overwrite(destination, statement, sql);
        break;
    }
}

/* Without a key: exactly one of the rows that equal the old one byte for byte. ctid alone is not
 * unique in a partitioned table. (A bare ROW(…) OPERATOR(…) ROW(…) would be compared column by
 * column.) */
static void put_where_image(const struct destination *destination, struct statement *statement,
                            struct buf *sql)
{
    const struct relation *relation = destination->relation;
    buf_puts(sql, " WHERE (tableoid, ctid) = (SELECT t.tableoid, t.ctid FROM ");
    put_table(sql, destination);
    buf_puts(sql, " t WHERE (SELECT ROW(");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", t." : "t.");
        quote_ident(sql, relation->columns[i].name);
    }
    buf_puts(sql, ")) OPERATOR(pg_catalog.*=) (SELECT ROW(");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : "");
        put_param(statement, sql, i, true);
        buf_fmt(sql, "::%s", destination->columns[i].type_name);
    }
    buf_puts(sql, ")) LIMIT 1)");
}

static void put_where(const struct destination *destination, struct statement *statement,
                      struct buf *sql)
{
    if (destination->has_key) {
        buf_puts(sql, " WHERE ");
        put_key(destination, statement, sql, statement->old_kind != OLD_NONE);
    } else {
        put_where_image(destination, statement, sql);
    }
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

/* A row with the new key that is already there is in the way, unless it is the one to change. */
static bool must_clear(const struct destination *destination, const struct change *change)
{
    if (change->kind != CHANGE_UPDATE || change->old_kind == OLD_NONE ||
        !destination->has_key_index)
        return false;
    for (size_t i = 0; i < destination->relation->column_count; i++)
        if (destination->columns[i].equal && change->new.values[i].kind != VALUE_UNCHANGED &&
            !is_same_value(&change->old.values[i], &change->new.values[i]))
            return true;
    return false;
}

/* Whether the stream says every column of the new row. */
static bool is_whole(const struct destination *destination, const struct change *change)
{
    for (size_t i = 0; i < destination->relation->column_count; i++) {
        bool is_old_known =
            change->old_kind == OLD_FULL ||
            (change->old_kind == OLD_KEY && destination->relation->columns[i].is_key);
        if (change->new.values[i].kind == VALUE_UNCHANGED && !is_old_known)
            return false;
    }
    return true;
}

/* The row as it was, taken out. */
static void put_gone(const struct destination *destination, struct statement *statement,
                     struct buf *sql)
{
    buf_puts(sql, "WITH gone AS (DELETE FROM ");
    put_table(sql, destination);
    put_where(destination, statement, sql);
    buf_puts(sql, " RETURNING *)");
}

/* And put back, with what the stream carries over it. */
static void put_moved(const struct destination *destination, struct statement *statement,
                      struct buf *sql)
{
    const struct relation *relation = destination->relation;
    AUTO(buf_release) struct buf values = BUF_INIT;
    buf_puts(sql, "INSERT INTO ");
    quote_qualified(sql, destination->schema, destination->name);
    for (size_t i = 0; i < relation->column_count; i++) {
        quote_add(sql, i ? ", %I" : " (%I", relation->columns[i].name);
        buf_puts(&values, i ? ", " : "");
        if (statement->has_new[i])
            put_new(destination, statement, &values, i);
        else
            quote_add(&values, "gone.%I", relation->columns[i].name);
    }
    for (size_t i = 0; i < destination->others.count; i++) {
        quote_add(sql, ", %I", destination->others.items[i]);
        quote_add(&values, ", gone.%I", destination->others.items[i]);
    }
    buf_fmt(sql, ") OVERRIDING SYSTEM VALUE SELECT %s FROM gone", values.data);
}

/* The parts of one statement see the table as it was before it, but what one has deleted is not in
 * the way of another that comes later; a part that reads another's answer comes later. */
static const char after_cleared[] =
    "(SELECT pg_catalog.count(*) FROM cleared) OPERATOR(pg_catalog.>=) 0";

static void put_cleared(const struct destination *destination, struct statement *statement,
                        struct buf *sql)
{
    buf_puts(sql, "cleared AS (DELETE FROM ");
    put_table(sql, destination);
    buf_puts(sql, " WHERE ");
    put_key(destination, statement, sql, false);
    buf_puts(sql, " AND NOT (");
    put_key(destination, statement, sql, true);
    buf_puts(sql, ") RETURNING 1), ");
}

/* The row, when none was there to be changed. */
static void put_made(const struct destination *destination, struct statement *statement,
                     struct buf *sql)
{
    const struct relation *relation = destination->relation;
    buf_puts(sql, ", made AS (INSERT INTO ");
    quote_qualified(sql, destination->schema, destination->name);
    buf_puts(sql, " (");
    put_column_names(relation, sql);
    buf_puts(sql, ") OVERRIDING SYSTEM VALUE SELECT ");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_puts(sql, i ? ", " : "");
        put_new(destination, statement, sql, i);
    }
    buf_puts(sql, " WHERE NOT EXISTS (SELECT FROM touched)");
    if (statement->clears)
        buf_fmt(sql, " AND %s", after_cleared);
    buf_puts(sql, " RETURNING 1)");
}

/* UPDATE under the policy `update`. False as put_update(). */
static bool put_converge(const struct destination *destination, struct statement *statement,
                         struct buf *sql)
{
    if (statement->moves)
        put_gone(destination, statement, sql);
    buf_puts(sql, statement->moves ? ", " : "WITH ");
    if (statement->clears)
        put_cleared(destination, statement, sql);
    buf_puts(sql, "touched AS (");
    if (statement->moves)
        put_moved(destination, statement, sql);
    else if (!put_update(destination, statement, sql))
        return false;
    if (statement->clears)
        buf_fmt(sql, "%s%s", statement->moves ? " WHERE " : " AND ", after_cleared);
    buf_puts(sql, " RETURNING 1)");
    if (statement->makes)
        put_made(destination, statement, sql);
    buf_fmt(sql, " SELECT pg_catalog.concat_ws(' ', (SELECT pg_catalog.count(*) FROM touched), %s)",
            statement->clears ? "(SELECT pg_catalog.count(*) FROM cleared)" : "0");
    statement->answer = ANSWER_COUNTS;
    return true;
}

static void put_move(const struct destination *destination, struct statement *statement,
                     struct buf *sql)
{
    put_gone(destination, statement, sql);
    buf_putc(sql, ' ');
    put_moved(destination, statement, sql);
}

static void put_delete(const struct destination *destination, struct statement *statement,
                       struct buf *sql)
{
    buf_puts(sql, "DELETE FROM ");
    put_table(sql, destination);
    put_where(destination, statement, sql);
}

/* False: this change writes nothing. */
static bool put_sql(const struct destination *destination, enum on_conflict policy,
                    struct statement *statement, struct buf *sql)
{
    bool is_update = statement->kind == CHANGE_UPDATE;
    if (statement->kind == CHANGE_INSERT) {
        put_insert(destination, policy, statement, sql);
        return true;
    }
    if (is_update && (statement->clears || statement->makes))
        return put_converge(destination, statement, sql);
    statement->answer = ANSWER_ONE;
    if (is_update && !statement->moves)
        return put_update(destination, statement, sql);
    if (is_update)
        put_move(destination, statement, sql);
    else
        put_delete(destination, statement, sql);
    return true;
}

struct statement *statement_find(struct postgres *pg, struct destination *destination,
                                 const struct change *change)
{
    enum on_conflict policy = pg->options.on_conflict;
    bool converges = policy == CONFLICT_UPDATE && change->kind == CHANGE_UPDATE;
    struct statement shape = {
        .kind = change->kind,
        .old_kind = change->old_kind,
        .moves = must_move(destination, change),
        .clears = converges && must_clear(destination, change),
        .makes = converges && is_whole(destination, change),
    };
    for (struct statement *s = destination->statements; s; s = s->next)
        if (fits(s, &shape, change))
            return s;

    size_t columns = destination->relation->column_count;
    struct statement *made = mem_alloc(sizeof(*made));
    *made = shape;
    made->params = mem_alloc((2 * columns + 1) * sizeof(*made->params));
    made->has_new = mem_alloc(columns + 1);
    for (size_t i = 0; i < change->new.count; i++)
        made->has_new[i] = change->new.values[i].kind != VALUE_UNCHANGED;

    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (put_sql(destination, policy, made, &sql))
        made->sql = buf_take(&sql);
    (void)snprintf(made->name, sizeof(made->name), "t%u", ++pg->statement_count);
    made->next = destination->statements;
    destination->statements = made;
    return made;
}
