/* Bringing the target's sequences to the source's values. See sequences.h. Control thread while the
 * stream is followed, engine thread at the end of a copy and of a run.
 *
 * Each round reads both sides anew and keeps nothing: a TRUNCATE … RESTART IDENTITY of the stream
 * may have set the target's back since. The server that sets a value compares once more.
 *
 * A query keeps the locks of the sequences that it has read while it waits for the next one: who
 * changes several in another order would meet us in a deadlock, and might be the one to lose. So we
 * give up before anybody looks for deadlocks, and come again. */
#include "pipeline/sequences.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/quote.h"

enum { AT_ONCE = 200, TRIES = 5, AGAIN_MS = 100 };

static const char BE_BRIEF[] = "SET lock_timeout = '20ms'";
static const char LOCKED[] = "55P03";

struct sequences {
    const struct engine *engine;
    struct selection selection; /* our own: it notes what it has matched */
    struct strv told;           /* "sequence: reason" */
};

/* One sequence of the source and its namesake; texts are borrowed from the rows. */
struct twin {
    const char *schema;
    const char *name;
    const char *last; /* the source's; NULL: never used */
    int here, there;  /* rows */
};

struct lists {
    struct rows *here;
    struct rows *there;
    struct twin *twins; /* owned: those to be kept in step */
    size_t count;
};

/* pg_sequence_last_value() gives NULL for one that was never used. */
#define OURS                                                                                       \
    " FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid"              \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace%s"                                  \
    " WHERE c.relpersistence <> 't' AND NOT " CATALOG_IS_KEEPER(                                   \
        "n.oid") " AND NOT EXISTS ("                                                               \
                 "  SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 1259 AND e.objid = c.oid" \
                 "  AND e.deptype = 'e') ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE "     \
                 "\"C\""

enum here_column { NSP, REL, LAST, MAY, OID, IS_CYCLE, SIGN, USER_NSP };

static const char here_sql[] =
    "SELECT n.nspname, c.relname, CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')"
    " THEN pg_catalog.pg_sequence_last_value(c.oid) END,"
    " pg_catalog.has_sequence_privilege(c.oid, 'SELECT'), c.oid, s.seqcycle,"
    " pg_catalog.sign(s.seqincrement)::int";
static const char no_users_sql[] = ", NULL, NULL, NULL, NULL";
/* A row for each table that owns the sequence or has it in a default; one without, when none does.
 * As a set: a subquery for each sequence takes half a minute for 5,000 of them. */
static const char users_sql[] =
    " LEFT JOIN ("
    "  SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d WHERE d.classid = 1259"
    "   AND d.refclassid = 1259 AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')"
    "  UNION SELECT d.refobjid, a.adrelid FROM pg_catalog.pg_depend d"
    "   JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid"
    "   WHERE d.classid = 2604 AND d.refclassid = 1259) w(sequence, oid) ON w.sequence = c.oid"
    " LEFT JOIN pg_catalog.pg_class u ON u.oid = w.oid"
    " LEFT JOIN pg_catalog.pg_namespace un ON un.oid = u.relnamespace"
    " LEFT JOIN pg_catalog.pg_class r"
    "  ON u.relispartition AND r.oid = pg_catalog.pg_partition_root(u.oid)"
    " LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace";

enum there_column { THERE_MIN = 4, THERE_MAX };

static const char there_sql[] =
    "SELECT n.nspname, c.relname, CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')"
    " THEN pg_catalog.pg_sequence_last_value(c.oid) END,"
    " pg_catalog.has_sequence_privilege(c.oid, 'SELECT')"
    " AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE'), s.seqmin, s.seqmax";

struct sequences *sequences_new(const struct engine *engine)
{
    struct sequences *sequences = mem_alloc(sizeof(*sequences));
    struct err unused = {0};
    sequences->engine = engine;
    if (!selection_read(engine->settings, &sequences->selection, &unused)) /* read once already */
        abort();
    return sequences;
}

void sequences_free(struct sequences **sequences)
{
    if (!*sequences)
        return;
    selection_release(&(*sequences)->selection);
    strv_release(&(*sequences)->told);
    free(*sequences);
    *sequences = NULL;
}

static void lists_release(struct lists *lists)
{
    rows_free(&lists->here);
    rows_free(&lists->there);
    free(lists->twins);
    *lists = (struct lists){0};
}

static void tell(struct sequences *sequences, const struct twin *twin, const char *why)
{
    char *text = str_fmt("sequence %s.%s is not kept in step: %s", twin->schema, twin->name, why);
    if (strv_has(&sequences->told, text)) {
        free(text);
        return;
    }
    log_warn("%s", text);
    metrics_add(sequences->engine->metrics, METRIC_SEQUENCES_FAILED, 1);
    strv_take(&sequences->told, text);
}

/* --- who is kept in step --- */

static bool is_ours(struct sequences *sequences, const struct rows *here, int row)
{
    const struct selected user = {
        rows_text(here, row, USER_NSP), rows_text(here, row, USER_NSP + 1),
        rows_text(here, row, USER_NSP + 2), rows_text(here, row, USER_NSP + 3)};
    return !user.name || selection_covers(&sequences->selection, &user);
}

static int compare_names(const struct rows *a, int row, const char *schema, const char *name)
{
    int order = strcmp(rows_text(a, row, NSP), schema);
    return order ? order : strcmp(rows_text(a, row, REL), name);
}

/* Both are sorted by the bytes of their names; -1: the target has none of that name. */
static int find_there(const struct rows *there, const char *schema, const char *name)
{
    int low = 0, high = rows_count(there);
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = compare_names(there, middle, schema, name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static void add_twin(struct sequences *sequences, struct lists *lists, int row)
{
    struct twin twin = {
        .schema = rows_text(lists->here, row, NSP),
        .name = rows_text(lists->here, row, REL),
        .last = rows_text(lists->here, row, LAST),
        .here = row,
    };
    twin.there = find_there(lists->there, twin.schema, twin.name);
    if (twin.there < 0)
        return;
    if (!rows_bool(lists->here, row, MAY))
        tell(sequences, &twin, "the role may not read it on the source: GRANT SELECT on it");
    else if (!rows_bool(lists->there, twin.there, MAY))
        tell(sequences, &twin, "the role may not set it on the target: GRANT SELECT, UPDATE on it");
    else
        lists->twins[lists->count++] = twin;
}

static bool read_lists(struct sequences *sequences, struct conn *source, struct conn *target,
                       struct lists *lists, struct err *err)
{
    bool is_all = selection_is_all(&sequences->selection);
    AUTO(str_free)
    char *here = str_fmt("%s%s" OURS, here_sql,
                         is_all ? no_users_sql : ", un.nspname, u.relname, rn.nspname, r.relname",
                         is_all ? "" : users_sql);
    AUTO(str_free) char *there = str_fmt("%s" OURS, there_sql, "");
    uint32_t last = 0;
    if (!conn_query(source, here, &lists->here, err) ||
        !conn_query(target, there, &lists->there, err))
        return err_wrap(err, "could not read the sequences");
    lists->twins = mem_alloc(((size_t)rows_count(lists->here) + 1) * sizeof(*lists->twins));
    for (int row = 0; row < rows_count(lists->here); row++) {
        uint32_t oid = rows_oid(lists->here, row, OID);
        if (oid == last || !is_ours(sequences, lists->here, row))
            continue;
        last = oid;
        add_twin(sequences, lists, row);
    }
    return true;
}

/* --- setting --- */

/* Whether the target's is behind; a source that was never used is not looked at here. */
static bool is_behind(const struct lists *lists, const struct twin *twin)
{
    const char *there = rows_text(lists->there, twin->there, LAST);
    if (!twin->last || !there)
        return twin->last != NULL;
    int64_t from = rows_int(lists->there, twin->there, LAST);
    int64_t to = rows_int(lists->here, twin->here, LAST);
    bool is_descending = rows_int(lists->here, twin->here, SIGN) < 0;
    if (from == to)
        return false;
    return rows_bool(lists->here, twin->here, IS_CYCLE) || (to > from) != is_descending;
}

static bool is_in_bounds(struct sequences *sequences, const struct lists *lists,
                         const struct twin *twin, const char *last)
{
    int64_t value = strtoll(last, NULL, 10);
    if (value >= rows_int(lists->there, twin->there, THERE_MIN) &&
        value <= rows_int(lists->there, twin->there, THERE_MAX))
        return true;
    tell(sequences, twin, "the source's value lies outside the target's MINVALUE and MAXVALUE");
    return false;
}

/* Only forwards: the target may be in use already. What it has never used is no value to keep. */
static void put_set(const struct lists *lists, const struct twin *twin, const char *last,
                    bool is_called, struct buf *sql)
{
    AUTO(buf_release) struct buf name = BUF_INIT;
    const char *called = is_called ? "true" : "false";
    quote_qualified(&name, twin->schema, twin->name);
    quote_add(sql,
              "SELECT pg_catalog.setval(%L::pg_catalog.regclass, %s, %s) FROM %s s"
              " WHERE (s.last_value, s.is_called) <> (%s, %s)",
              name.data, last, called, name.data, last, called);
    if (!rows_bool(lists->here, twin->here, IS_CYCLE))
        quote_add(sql, " AND (NOT s.is_called OR %s * (%s::numeric - s.last_value) > 0)",
                  rows_text(lists->here, twin->here, SIGN), last);
    buf_putc(sql, ';');
}

static bool set(struct sequences *sequences, struct conn *target, struct buf *sql, size_t count,
                struct err *err)
{
    if (count == 0)
        return true;
    if (!conn_exec(target, sql->data, err))
        return err_wrap(err, "could not set sequences");
    metrics_add(sequences->engine->metrics, METRIC_SEQUENCES_SET, count);
    buf_reset(sql);
    return true;
}

static bool set_moved(struct sequences *sequences, struct conn *source, struct conn *target,
                      struct err *err)
{
    AUTO(lists_release) struct lists lists = {0};
    AUTO(buf_release) struct buf sql = BUF_INIT;
    size_t count = 0;
    if (!read_lists(sequences, source, target, &lists, err))
        return false;
    for (size_t i = 0; i < lists.count; i++) {
        const struct twin *twin = &lists.twins[i];
        if (!is_behind(&lists, twin) || !is_in_bounds(sequences, &lists, twin, twin->last))
            continue;
        put_set(&lists, twin, twin->last, true, &sql);
        if (++count % AT_ONCE == 0 && !set(sequences, target, &sql, AT_ONCE, err))
            return false;
    }
    return set(sequences, target, &sql, count % AT_ONCE, err);
}

bool sequences_round(struct sequences *sequences, struct conn *source, struct conn *target,
                     struct err *err)
{
    return conn_exec(source, BE_BRIEF, err) && conn_exec(target, BE_BRIEF, err) &&
           set_moved(sequences, source, target, err) &&
           conn_exec(source, "RESET lock_timeout", err) &&
           conn_exec(target, "RESET lock_timeout", err);
}

/* --- to the last bit --- */

/* Both used, and equal: nothing to ask. */
static bool is_equal(const struct lists *lists, const struct twin *twin)
{
    const char *there = rows_text(lists->there, twin->there, LAST);
    return twin->last && there && strcmp(twin->last, there) == 0;
}

/* The values of the twins first … end, by their own relations: pg_sequence_last_value() does not
 * tell where one that was never used begins. */
static bool finish_some(struct sequences *sequences, struct conn *source, struct conn *target,
                        const struct lists *lists, size_t first, size_t end, struct err *err)
{
    AUTO(buf_release) struct buf ask = BUF_INIT;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    size_t count = 0;
    for (size_t i = first; i < end; i++)
        if (!is_equal(lists, &lists->twins[i]))
            quote_add(&ask, "%sSELECT %d, last_value, is_called FROM %I.%I",
                      ask.len ? " UNION ALL " : "", (int)i, lists->twins[i].schema,
                      lists->twins[i].name);
    if (ask.len == 0)
        return true;
    if (!conn_query(source, ask.data, &rows, err))
        return err_wrap(err, "could not read the sequences");
    for (int row = 0; row < rows_count(rows); row++) {
        const struct twin *twin = &lists->twins[rows_int(rows, row, 0)];
        if (!is_in_bounds(sequences, lists, twin, rows_text(rows, row, 1)))
            continue;
        put_set(lists, twin, rows_text(rows, row, 1), rows_bool(rows, row, 2), &sql);
        count++;
    }
    return set(sequences, target, &sql, count, err);
}

static bool finish_once(struct sequences *sequences, struct conn *source, struct conn *target,
                        struct err *err)
{
    AUTO(lists_release) struct lists lists = {0};
    if (!read_lists(sequences, source, target, &lists, err))
        return false;
    for (size_t first = 0; first < lists.count; first += AT_ONCE)
        if (!finish_some(sequences, source, target, &lists, first,
                         MIN_OF(first + AT_ONCE, lists.count), err))
            return false;
    return true;
}

/* One that went or changed its name between two queries: the catalog is read again. */
static bool was_moved(const struct err *err)
{
    static const char *const states[] = {"42P01", "3F000", "XX000", "42704", "42809"};
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (strcmp(err->sqlstate, states[i]) == 0)
            return true;
    return false;
}

/* However long somebody keeps one locked. */
static bool wait_for_lock(const struct sequences *sequences, bool *is_told, struct err *err)
{
    if (!*is_told)
        log_info("waiting for a sequence that somebody has locked");
    *is_told = true;
    return !stop_wait(sequences->engine->soft, AGAIN_MS) || err_set(err, ERR_STOP, "interrupted");
}

bool sequences_finish(struct sequences *sequences, struct conn *source, struct conn *target,
                      struct err *err)
{
    bool is_told = false;
    if (!conn_exec(source, BE_BRIEF, err))
        return false;
    for (int tries = 1; !finish_once(sequences, source, target, err);) {
        bool is_locked = strcmp(err->sqlstate, LOCKED) == 0;
        if (!is_locked && (tries++ == TRIES || !was_moved(err)))
            return false;
        *err = (struct err){0};
        if (is_locked && !wait_for_lock(sequences, &is_told, err))
            return false;
    }
    return true;
}

bool engine_sequences(struct engine *engine, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(sequences_free) struct sequences *sequences = sequences_new(engine);
    return engine_connect(engine, true, "sequences", &source, err) &&
           sequences_finish(sequences, source, engine->keeper, err);
}
