/* Reading facts through cursors: see schema_facts.h. Invariant: both sides are sorted by class,
 * identity and property, bytewise as we get them; that is how they are matched.
 *
 * To read a sequence takes a lock, to the end of the transaction: of sequences that somebody alters
 * in another order, waiting, we would meet him in a deadlock. So all are read in a transaction of
 * their own, which gives up before anybody looks for deadlocks, and comes again. */
#include "verify/schema_facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"
#include "schema/array.h"
#include "verify/schema_sql.h"

enum { FETCH_ROWS = 500, AGAIN_MS = 100, TRIES = 5 };

bool fact_has(const struct fact *fact, enum fact_flag flag)
{
    return strchr(fact->flags, (int)flag) != NULL;
}

bool fact_is_object(const struct fact *fact)
{
    return !fact->property[0];
}

/* All roles of the target; of the source it is asked which of them are needed. */
static bool read_roles(struct conn *target, struct buf *ret_array, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(target, "SELECT rolname FROM pg_catalog.pg_roles", &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        array_add(ret_array, rows_text(rows, i, 0));
    return true;
}

/* As JSON, by OID. */
static bool read_positions(struct conn *conn, struct stop *stop, char **ret_positions,
                           struct err *err)
{
    static const char sql[] =
        "SELECT coalesce(jsonb_object_agg(oid, last) FILTER (WHERE last IS NOT NULL), '{}') FROM"
        " (SELECT oid, pg_sequence_last_value(oid) AS last FROM pg_class WHERE relkind = 'S'"
        " AND relpersistence <> 't' AND CASE WHEN relkind = 'S'"
        " THEN has_sequence_privilege(oid, 'SELECT, USAGE') END) s";
    if (!conn_exec(conn, "SET lock_timeout = '20ms'", err))
        return false;
    for (int tries = 1; !conn_text(conn, sql, ret_positions, err);) {
        bool is_locked = strcmp(err->sqlstate, "55P03") == 0;
        if (!is_locked && (tries++ == TRIES || !pair_is_altered(err))) /* dropped meanwhile */
            return err_wrap(err, "could not read the sequences");
        *err = (struct err){0};
        if (stop_wait(stop, AGAIN_MS))
            return err_set(err, ERR_STOP, "interrupted");
    }
    return conn_exec(conn, "RESET lock_timeout", err);
}

bool fact_stream_begin(struct pair *pair, const char *keeper, struct err *err)
{
    AUTO(buf_release) struct buf roles = BUF_INIT;
    int older =
        MIN_OF(conn_version(pair->conns[SIDE_SOURCE]), conn_version(pair->conns[SIDE_TARGET]));
    if (!read_roles(pair->conns[SIDE_TARGET], &roles, err))
        return false;
    const char *array = array_end(&roles);
    for (int side = 0; side < SIDES; side++) {
        struct conn *conn = pair->conns[side];
        AUTO(str_free) char *positions = NULL;
        /* Not read only: the target prints views of other versions, see retell(). */
        if (!read_positions(conn, pair->stop, &positions, err) ||
            !conn_exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", err) ||
            !conn_execf(conn, err,
                        "SET LOCAL quote_all_identifiers = on; SET LOCAL trunkline.keeper = %L;"
                        "SET LOCAL trunkline.roles = %L; SET LOCAL trunkline.common = %d;"
                        "SET LOCAL trunkline.positions = %L",
                        keeper, array, older, positions))
            return false;
    }
    return true;
}

bool fact_stream_end(struct pair *pair, struct err *err)
{
    return conn_exec(pair->conns[SIDE_SOURCE], "ROLLBACK", err) &&
           conn_exec(pair->conns[SIDE_TARGET], "ROLLBACK", err);
}

static const char *text_or_empty(const struct rows *rows, int row, int column)
{
    const char *text = rows_text(rows, row, column);
    return text ? text : "";
}

static void take_row(struct fact_stream *facts, enum side side)
{
    const struct rows *rows = facts->rows[side];
    int row = facts->row[side];
    facts->is_there[side] = row < rows_count(rows);
    if (!facts->is_there[side])
        return;
    facts->now[side] = (struct fact){
        .class = rows_text(rows, row, 0),
        .identity = rows_text(rows, row, 1),
        .property = rows_text(rows, row, 2),
        .value = text_or_empty(rows, row, 3),
        .make = rows_text(rows, row, 4),
        .unmake = rows_text(rows, row, 5),
        .keys = text_or_empty(rows, row, 6),
        .step = (int)rows_int(rows, row, 7),
        .rank = (int)rows_int(rows, row, 8),
        .flags = rows_text(rows, row, 9),
        .lacking = rows_text(rows, row, 10),
    };
}

/* Databases of different encodings order the same names differently, except by the bytes that we
 * get of them. */
static char *declare_sql(const struct pair *pair, const char *question)
{
    const char *form = pair->recodes ? "convert_to(%s, %L)" : "%s COLLATE \"C\"";
    static const char *const order[] = {"class", "identity", "property"};
    struct buf sql = BUF_INIT;
    buf_puts(&sql, "DECLARE facts NO SCROLL CURSOR FOR ");
    buf_puts(&sql, schema_common_sql);
    buf_puts(&sql, " SELECT * FROM (");
    buf_puts(&sql, question);
    buf_puts(&sql, ") AS fact(class, identity, property, value, make, unmake, keys, step, rank,"
                   " flags, lacking) ORDER BY ");
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        buf_puts(&sql, i ? ", " : "");
        quote_add(&sql, form, order[i], pair->recodes);
    }
    return buf_take(&sql);
}

static char *fetch_sql(void)
{
    return str_fmt("FETCH %d FROM facts", FETCH_ROWS);
}

bool fact_stream_open(struct fact_stream *facts, struct pair *pair, const char *question,
                      struct err *err)
{
    AUTO(pair_rows_free) struct rows *none[SIDES] = {NULL};
    AUTO(str_free) char *declare = declare_sql(pair, question);
    AUTO(str_free) char *fetch = fetch_sql();
    fact_stream_release(facts);
    facts->pair = pair;
    if (!pair_query(pair, declare, declare, none, err) ||
        !pair_query(pair, fetch, fetch, facts->rows, err))
        return false;
    for (int side = 0; side < SIDES; side++)
        take_row(facts, side);
    return true;
}

bool fact_stream_close(struct fact_stream *facts, struct err *err)
{
    return conn_exec(facts->pair->conns[SIDE_SOURCE], "CLOSE facts", err) &&
           conn_exec(facts->pair->conns[SIDE_TARGET], "CLOSE facts", err);
}

void fact_stream_release(struct fact_stream *facts)
{
    for (int side = 0; side < SIDES; side++)
        rows_free(&facts->rows[side]);
    *facts = FACT_STREAM_INIT;
}

static int order(const struct fact *a, const struct fact *b)
{
    int by_class = strcmp(a->class, b->class);
    int by_identity = strcmp(a->identity, b->identity);
    return by_class ? by_class : by_identity ? by_identity : strcmp(a->property, b->property);
}

void fact_stream_peek(const struct fact_stream *facts, const struct fact *ret_facts[SIDES])
{
    int which = 0;
    for (int side = 0; side < SIDES; side++)
        ret_facts[side] = facts->is_there[side] ? &facts->now[side] : NULL;
    if (ret_facts[SIDE_SOURCE] && ret_facts[SIDE_TARGET])
        which = order(ret_facts[SIDE_SOURCE], ret_facts[SIDE_TARGET]);
    if (which < 0)
        ret_facts[SIDE_TARGET] = NULL;
    if (which > 0)
        ret_facts[SIDE_SOURCE] = NULL;
}

static bool advance(struct fact_stream *facts, enum side side, struct err *err)
{
    facts->row[side]++;
    if (facts->row[side] == rows_count(facts->rows[side]) && facts->row[side] == FETCH_ROWS) {
        AUTO(str_free) char *fetch = fetch_sql();
        rows_free(&facts->rows[side]);
        if (!conn_query(facts->pair->conns[side], fetch, &facts->rows[side], err))
            return false;
        facts->row[side] = 0;
    }
    take_row(facts, side);
    return true;
}

bool fact_stream_advance(struct fact_stream *facts, const struct fact *given[SIDES],
                         struct err *err)
{
    for (int side = 0; side < SIDES; side++)
        if (given[side] && !advance(facts, side, err))
            return false;
    return true;
}
