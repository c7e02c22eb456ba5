/* SQL for sets of rows: DELETE and UPDATE joined to the rows by key, INSERT from them.
 *
 * Each statement touches a row at most once, so the number of rows that it affects tells whether
 * all were found. n is the new row, o the old one, with columns by position: a0, a1, … and
 * b0, b1, …; t is the table. All names are qualified: a column may have any name. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "target/postgres/inside.h"

void set_statement_free(struct set_statement **statement)
{
    free((*statement)->is_known);
    free((*statement)->sql);
    free(*statement);
    *statement = NULL;
}

static void put_table(struct buf *sql, const struct destination *destination)
{
    if (!destination->is_partitioned)
        buf_puts(sql, "ONLY ");
    quote_qualified(sql, destination->schema, destination->name);
}

static void put_unnest(struct buf *sql, const struct destination *destination, int param)
{
    buf_fmt(sql, "pg_catalog.unnest($%d::", param);
    quote_qualified(sql, destination->schema, destination->name);
    buf_puts(sql, "[])");
}

static void put_names(struct buf *sql, const struct destination *destination, char letter)
{
    for (size_t i = 0; i < destination->row_count; i++)
        buf_fmt(sql, "%s%c%zu", i ? ", " : "", letter, i);
}

/* The rows of parameter 1; with the old ones, those of parameter 2 beside them. */
static void put_rows(struct buf *sql, const struct destination *destination, bool has_old)
{
    buf_puts(sql, has_old ? "ROWS FROM (" : "");
    put_unnest(sql, destination, 1);
    if (has_old) {
        buf_puts(sql, ", ");
        put_unnest(sql, destination, 2);
        buf_putc(sql, ')');
    }
    buf_puts(sql, " AS n (");
    put_names(sql, destination, 'a');
    buf_puts(sql, has_old ? ", " : "");
    if (has_old)
        put_names(sql, destination, 'b');
    buf_putc(sql, ')');
}

/* As put_key() of statement.c, for the columns of n. */
static void put_key(struct buf *sql, const struct destination *destination, char letter)
{
    const char *glue = " WHERE ";
    for (size_t i = 0; i < destination->row_count; i++) {
        const struct row_column *row = &destination->row[i];
        if (!row->is_sent || !destination->is_key[row->column])
            continue;
        const struct destination_column *column = &destination->columns[row->column];
        quote_add(sql, "%st.%I%s %s ", glue, destination->relation->columns[row->column].name,
                  column->base, column->equal);
        buf_fmt(sql, "n.%c%zu%s", letter, i, column->base);
        glue = " AND ";
    }
}

static void put_delete(struct buf *sql, const struct destination *destination)
{
    buf_puts(sql, "DELETE FROM ");
    put_table(sql, destination);
    buf_puts(sql, " AS t USING ");
    put_rows(sql, destination, false);
    put_key(sql, destination, 'a');
}

static bool is_set(const struct destination *destination, const struct row_column *row,
                   const bool *is_known, bool has_keys)
{
    return row->is_sent && is_known[row->column] &&
           !destination->columns[row->column].is_identity_always &&
           destination->is_key[row->column] == has_keys;
}

/* Key columns have the bytes that they had: they are set when there is nothing else. False: there
 * is no column to set. */
static bool put_update(struct buf *sql, const struct destination *destination, const bool *is_known)
{
    const char *glue = " SET ";
    buf_puts(sql, "UPDATE ");
    put_table(sql, destination);
    buf_puts(sql, " AS t");
    for (int has_keys = 0; has_keys < 2 && glue[0] == ' '; has_keys++)
        for (size_t i = 0; i < destination->row_count; i++) {
            const struct row_column *row = &destination->row[i];
            if (!is_set(destination, row, is_known, has_keys))
                continue;
            quote_add(sql, "%s%I = ", glue, destination->relation->columns[row->column].name);
            buf_fmt(sql, "n.a%zu", i);
            glue = ", ";
        }
    if (glue[0] == ' ')
        return false;
    buf_puts(sql, " FROM ");
    put_rows(sql, destination, false);
    put_key(sql, destination, 'a');
    return true;
}

static void put_into(struct buf *sql, const struct destination *destination, bool has_others)
{
    const char *glue = "";
    buf_puts(sql, "INSERT INTO ");
    quote_qualified(sql, destination->schema, destination->name);
    buf_puts(sql, " (");
    for (size_t i = 0; i < destination->row_count; i++) {
        if (!destination->row[i].is_sent)
            continue;
        quote_add(sql, "%s%I", glue,
                  destination->relation->columns[destination->row[i].column].name);
        glue = ", ";
    }
    for (size_t i = 0; has_others && i < destination->others.count; i++)
        quote_add(sql, ", %I", destination->others.items[i]);
    buf_puts(sql, ") OVERRIDING SYSTEM VALUE SELECT ");
}

static void put_insert(struct buf *sql, const struct destination *destination)
{
    const char *glue = "";
    put_into(sql, destination, false);
    for (size_t i = 0; i < destination->row_count; i++) {
        if (!destination->row[i].is_sent)
            continue;
        buf_fmt(sql, "%sn.a%zu", glue, i);
        glue = ", ";
    }
    buf_puts(sql, " FROM ");
    put_rows(sql, destination, false);
}

/* All rows are taken out before the first is put back, with what the changes say and the rest as
 * it was, columns that only the target has too. Asking for the number of those taken out makes the
 * server finish with them first. */
static void put_move(struct buf *sql, const struct destination *destination, const bool *is_known)
{
    const struct relation *relation = destination->relation;
    size_t count = 0;
    buf_puts(sql, "WITH gone AS (DELETE FROM ");
    put_table(sql, destination);
    buf_puts(sql, " AS t USING ");
    put_rows(sql, destination, true);
    put_key(sql, destination, 'b');
    buf_puts(sql, " RETURNING ");
    for (size_t i = 0; i < destination->row_count; i++) {
        const struct row_column *row = &destination->row[i];
        if (!row->is_sent)
            continue;
        buf_puts(sql, count ? ", " : "");
        if (is_known[row->column])
            buf_fmt(sql, "n.a%zu", i);
        else
            quote_add(sql, "t.%I", relation->columns[row->column].name);
        buf_fmt(sql, " AS x%zu", count++);
    }
    for (size_t i = 0; i < destination->others.count; i++) {
        quote_add(sql, ", t.%I", destination->others.items[i]);
        buf_fmt(sql, " AS x%zu", count++);
    }
    buf_puts(sql, ") ");
    put_into(sql, destination, true);
    for (size_t i = 0; i < count; i++)
        buf_fmt(sql, "%sgone.x%zu", i ? ", " : "", i);
    buf_puts(sql, " FROM gone WHERE (SELECT pg_catalog.count(*) FROM gone)"
                  " OPERATOR(pg_catalog.>=) 0");
}

/* False: there is nothing to write. */
static bool put_sql(struct buf *sql, const struct destination *destination, enum set_kind kind,
                    const bool *is_known)
{
    switch (kind) {
    case SET_DELETE:
        put_delete(sql, destination);
        return true;
    case SET_MOVE:
        put_move(sql, destination, is_known);
        return true;
    case SET_UPDATE:
        return put_update(sql, destination, is_known);
    case SET_INSERT:
        put_insert(sql, destination);
        return true;
    }
    return false;
}

struct set_statement *set_statement_find(struct postgres *pg, struct destination *destination,
                                         enum set_kind kind, const bool *is_known)
{
    size_t columns = destination->relation->column_count;
    for (struct set_statement *s = destination->sets; s; s = s->next)
        if (s->kind == kind && (!is_known || memcmp(s->is_known, is_known, columns) == 0))
            return s;
    struct set_statement *made = mem_alloc(sizeof(*made));
    *made = (struct set_statement){.kind = kind, .next = destination->sets};
    if (is_known) {
        made->is_known = mem_alloc(columns + 1);
        memcpy(made->is_known, is_known, columns);
    }
    AUTO(buf_release) struct buf sql = BUF_INIT;
    if (put_sql(&sql, destination, kind, is_known))
        made->sql = buf_take(&sql);
    (void)snprintf(made->name, sizeof(made->name), "s%u", ++pg->statement_count);
    destination->sets = made;
    return made;
}
