/* Two catalogs, fact by fact: see schema.h.
 *
 * A fact that only the source has, or that is another on the target, is a difference; its SQL is
 * the source's `make`. Objects that only the target has are notes, and so is what hangs on them.
 * What cannot be altered in place is dropped and made anew, and so is what depends on it: when
 * that is found, all is compared once more, with these objects taken as missing; their drops come
 * first in the script.
 * Invariant: no table, sequence or type is ever dropped by the script, and no column but generated
 * ones: it takes no rows. */
#include "verify/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/selection.h"
#include "pg/catalog.h"
#include "pg/quote.h"
#include "schema/facts_sql.h"
#include "schema/array.h"
#include "verify/schema_facts.h"
#include "verify/schema_keys.h"
#include "verify/schema_sql.h"

enum { MAX_ROUNDS = 20, MAX_SHOWN = 120 };

struct work {
    struct pair *pair; /* borrowed */
    const struct settings *settings;
    bool is_followed;
    struct key_set left_out[SIDES]; /* by the patterns */
    struct key_set missing;         /* of the source: what the target lacks */
    struct key_set extra;           /* of the target: what the source lacks */
    struct key_set gone;            /* of the target: what the script drops first */
    bool is_again;                  /* gone has grown: compare once more */
    struct script *script;          /* borrowed */
};

static void work_release(struct work *work)
{
    for (int side = 0; side < SIDES; side++)
        key_set_release(&work->left_out[side]);
    key_set_release(&work->missing);
    key_set_release(&work->extra);
    key_set_release(&work->gone);
}

static void add_first(struct key_set *set, const struct fact *fact)
{
    AUTO(str_free) char *key = key_first(fact->keys);
    key_set_add(set, key);
}

/* --- saying what differs --- */

static bool is_short(const char *value)
{
    return strlen(value) <= MAX_SHOWN && !strchr(value, '\n');
}

/* Either may be NULL. */
static char *difference_text(const struct fact *source, const struct fact *target)
{
    const struct fact *fact = source ? source : target;
    const char *what = fact->property[0] ? fact->property : "definition";
    if (!fact->property[0] && !(source && target))
        return str_dup(source ? "missing on the target" : "only on the target");
    if (source && target && (!is_short(source->value) || !is_short(target->value)))
        return str_fmt("%s differs", what);
    if (source && target)
        return str_fmt("%s is %s on the source, %s on the target", what,
                       source->value[0] ? source->value : "nothing",
                       target->value[0] ? target->value : "nothing");
    const char *where = source ? "missing on the target" : "only on the target";
    bool has_value = fact->value[0] && is_short(fact->value);
    return str_fmt("%s%s%s %s", what, has_value ? " " : "", has_value ? fact->value : "", where);
}

static const char *remark(const struct fact *fact)
{
    if (fact_has(fact, FACT_RETYPED))
        return "rewrites the table; look whether every value converts as it should";
    if (fact_has(fact, FACT_GENERATED))
        return "a column that is added again stands last; its values are computed anew";
    if (fact_has(fact, FACT_BOUND))
        return "look whether its rows belong there";
    return NULL;
}

/* One item about fact; take_difference and take_make are the item's. */
static void add_item(struct work *work, enum script_kind kind, const struct fact *fact,
                     char *take_difference, char *take_make)
{
    script_add(work->script, &(struct script_item){
                                 .kind = kind,
                                 .class = str_dup(fact->class),
                                 .identity = str_dup(fact->identity),
                                 .difference = take_difference,
                                 .make = take_make,
                                 .remark = take_make ? remark(fact) : NULL,
                                 .is_comment = kind == SCRIPT_NOTE,
                                 .step = fact->step,
                                 .rank = fact->rank,
                             });
}

/* What a role is lacking for cannot be run. */
static void add_made(struct work *work, enum script_kind kind, const struct fact *source,
                     char *take_difference)
{
    if (!source->lacking) {
        add_item(work, kind, source, take_difference, str_dup(source->make));
        return;
    }
    add_item(work, SCRIPT_NOTE, source,
             str_fmt("%s: the target has no role \"%s\"", take_difference, source->lacking),
             str_dup(source->make));
    free(take_difference);
}

/* --- what must be dropped --- */

/* "1259.16385.2" */
static bool ask_dependents(struct work *work, const char *key, const char *how,
                           struct rows **ret_rows, struct err *err)
{
    AUTO(str_free) char *copy = str_dup(key);
    char *rest = NULL;
    const char *catalog = strtok_r(copy, ".", &rest);
    const char *oid = strtok_r(NULL, ".", &rest);
    const char *column = strtok_r(NULL, ".", &rest);
    const char *const params[] = {catalog, oid, column ? column : "0", how};
    return conn_query_params(work->pair->conns[SIDE_TARGET], schema_dependents_sql, 4, params,
                             ret_rows, err) ||
           err_wrap(err, "could not ask what depends on an object");
}

/* All that stands on the target's object, down to the last, is to be dropped. */
static bool drop_dependents(struct work *work, const struct fact *target, const char *how,
                            struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *key = key_first(target->keys);
    if (!ask_dependents(work, key, how, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++) {
        struct key_drop drop = {
            .sql = rows_text(rows, i, 2),
            .depth = (int)rows_int(rows, i, 1),
        };
        work->is_again |= key_set_add_drop(&work->gone, rows_text(rows, i, 0), &drop);
    }
    return true;
}

/* The object itself as well; the next round makes it. */
static bool drop_object(struct work *work, const struct fact *target, struct err *err)
{
    AUTO(str_free) char *key = key_first(target->keys);
    struct key_drop drop = {.sql = target->unmake, .step = target->step};
    work->is_again |= key_set_add_drop(&work->gone, key, &drop);
    return drop_dependents(work, target, "drop", err);
}

static void print_drop(const struct key_drop *drop, void *arg)
{
    script_add_drop(arg, drop->sql, drop->depth, drop->step);
}

/* --- comparing --- */

/* Versions print the same query differently: 16 left out the names of tables where there is only
 * one. The target says how it would print the source's. *ret_text is NULL when it cannot: ret_why.
 */
static bool retell(struct work *work, const char *query, char **ret_text, struct err *ret_why,
                   struct err *err)
{
    struct conn *target = work->pair->conns[SIDE_TARGET];
    struct err why = {0};
    *ret_text = NULL;
    if (!conn_exec(target, "SAVEPOINT retell", err))
        return false;
    if (conn_execf(target, &why, "CREATE TEMPORARY VIEW trunkline_verify AS %s", query) &&
        !conn_text(target, "SELECT pg_get_viewdef('pg_temp.trunkline_verify'::regclass)", ret_text,
                   &why))
        str_set(ret_text, NULL);
    if (why.kind == ERR_STOP || conn_is_lost(target))
        return err_copy(err, &why);
    *ret_why = why;
    return conn_exec(target, "ROLLBACK TO SAVEPOINT retell", err);
}

/* With all names in quotes the type json has them too, up to 15. */
static char *without_quoted_json(const char *value)
{
    static const char quoted[] = "\"json\"";
    struct buf plain = BUF_INIT;
    for (const char *at = strstr(value, quoted); at; at = strstr(value, quoted)) {
        buf_add(&plain, value, (size_t)(at - value));
        buf_puts(&plain, "json");
        value = at + sizeof(quoted) - 1;
    }
    buf_puts(&plain, value);
    return buf_take(&plain);
}

static bool is_alike(const char *a, const char *b)
{
    AUTO(str_free) char *plain_a = without_quoted_json(a);
    AUTO(str_free) char *plain_b = without_quoted_json(b);
    return strcmp(plain_a, plain_b) == 0;
}

static bool is_behind(const struct fact *source, const struct fact *target)
{
    int64_t wanted = strtoll(source->value, NULL, 10);
    int64_t found = strtoll(target->value, NULL, 10);
    return fact_has(source, FACT_DOWN) ? found > wanted : found < wanted;
}

/* For want of a privilege, or on a standby. */
static bool is_refused(const struct err *why)
{
    return strcmp(why->sqlstate, "42501") == 0 || strcmp(why->sqlstate, "25006") == 0;
}

static bool is_equal(struct work *work, const struct fact *source, const struct fact *target,
                     bool *ret_equal, struct err *err)
{
    AUTO(str_free) char *retold = NULL;
    *ret_equal = strcmp(source->value, target->value) == 0;
    if (*ret_equal)
        return true;
    if (fact_has(source, FACT_POSITION))
        *ret_equal = !is_behind(source, target);
    /* Of lists as long as each other, the order differs; members are facts of their own. */
    if (fact_has(source, FACT_LIST))
        *ret_equal = strlen(source->value) != strlen(target->value);
    int majors[SIDES];
    for (int side = 0; side < SIDES; side++)
        majors[side] = conn_version(work->pair->conns[side]) / 10000;
    if (majors[SIDE_SOURCE] == majors[SIDE_TARGET])
        return true;
    *ret_equal |= is_alike(source->value, target->value);
    if (*ret_equal || !fact_has(source, FACT_VIEW))
        return true;
    struct err why = {0};
    if (!retell(work, source->value, &retold, &why, err))
        return false;
    *ret_equal = retold && strcmp(retold, target->value) == 0;
    if (!retold && is_refused(&why)) {
        *ret_equal = true;
        add_item(work, SCRIPT_NOTE, source, str_fmt("definition not compared: %s", why.text), NULL);
    }
    return true;
}

static enum script_kind kind_of(const struct work *work, const struct fact *source)
{
    bool is_on_its_way = work->is_followed && fact_has(source, FACT_POSITION);
    return is_on_its_way || fact_has(source, FACT_NOTE) ? SCRIPT_NOTE : SCRIPT_DIFFERENCE;
}

static void only_on_source(struct work *work, const struct fact *source, enum script_kind kind)
{
    if (fact_has(source, FACT_INHERITED) ||
        (fact_has(source, FACT_INCLUDED) && key_set_has_any(&work->missing, source->keys)))
        return;
    if (fact_is_object(source) || fact_has(source, FACT_KEYED))
        add_first(&work->missing, source);
    add_made(work, kind == SCRIPT_DIFFERENCE ? kind_of(work, source) : kind, source,
             kind == SCRIPT_AGAIN ? str_dup("made again") : difference_text(source, NULL));
}

static void only_on_target(struct work *work, const struct fact *target)
{
    if (fact_has(target, FACT_INHERITED) || fact_has(target, FACT_NO_EXTRA) ||
        fact_has(target, FACT_POSITION) || key_set_has_any(&work->extra, target->keys))
        return;
    if (fact_is_object(target) || fact_has(target, FACT_KEYED))
        add_first(&work->extra, target);
    bool is_extra =
        fact_is_object(target) || fact_has(target, FACT_GRANT) || fact_has(target, FACT_NOTE);
    char *make = str_dup(target->unmake);
    add_item(work, is_extra ? SCRIPT_NOTE : SCRIPT_DIFFERENCE, target,
             difference_text(NULL, target), make);
}

/* The script drops the target's; source is NULL when only the target has it. */
static bool again(struct work *work, const struct fact *source, const struct fact *target,
                  struct err *err)
{
    bool is_same = false;
    if (!source) {
        if (fact_is_object(target) || !fact_has(target, FACT_INCLUDED))
            add_item(work, SCRIPT_AGAIN, target, str_dup("made again; only on the target"),
                     str_dup(target->make));
        return true;
    }
    if (source->lacking && fact_is_object(source)) { /* the source's cannot be made */
        add_item(work, SCRIPT_AGAIN, target, str_dup("made again as it was"),
                 str_dup(target->make));
        return true;
    }
    if (!is_equal(work, source, target, &is_same, err))
        return false;
    if (is_same || !fact_is_object(source)) {
        only_on_source(work, source, is_same ? SCRIPT_AGAIN : SCRIPT_DIFFERENCE);
        return true;
    }
    AUTO(str_free) char *key = key_first(target->keys);
    const struct key_drop *drop = key_set_drop(&work->gone, key);
    add_first(&work->missing, source);
    add_made(work, SCRIPT_DIFFERENCE, source, difference_text(source, target));
    struct script_item *item = &work->script->items[work->script->count - 1];
    str_set(&item->drop, drop ? str_dup(drop->sql) : NULL);
    return true;
}

static bool on_both(struct work *work, const struct fact *source, const struct fact *target,
                    struct err *err)
{
    bool is_same = false;
    if (!is_equal(work, source, target, &is_same, err))
        return false;
    if (is_same || fact_has(source, FACT_INHERITED))
        return true;
    if (fact_is_object(source) && !fact_has(source, FACT_KEPT) && !source->lacking)
        return drop_object(work, target, err);
    if (fact_has(source, FACT_RETYPED) && !drop_dependents(work, target, "alter", err))
        return false;
    if (fact_has(source, FACT_GENERATED) && source->value[0] &&
        !drop_dependents(work, target, "drop", err))
        return false;
    add_made(work, kind_of(work, source), source, difference_text(source, target));
    struct script_item *item = &work->script->items[work->script->count - 1];
    if (fact_is_object(source)) {
        item->is_comment = true;
        item->remark = "cannot be altered: make it by hand as it is on the source";
    } else if (fact_has(source, FACT_UNMAKE) && target->unmake && source->make) {
        str_set(&item->make, str_fmt("%s; %s", target->unmake, source->make));
    }
    return true;
}

static bool compare_fact(struct work *work, const struct fact *source, const struct fact *target,
                         struct err *err)
{
    if (source && key_set_has_any(&work->left_out[SIDE_SOURCE], source->keys))
        return true;
    if (!source && key_set_has_any(&work->left_out[SIDE_TARGET], target->keys))
        return true;
    if (target && key_set_has_any(&work->gone, target->keys))
        return again(work, source, target, err);
    if (source && target)
        return on_both(work, source, target, err);
    if (source)
        only_on_source(work, source, SCRIPT_DIFFERENCE);
    else
        only_on_target(work, target);
    return true;
}

static bool compare_question(struct work *work, const char *question, struct err *err)
{
    AUTO(fact_stream_release) struct fact_stream facts = FACT_STREAM_INIT;
    if (!fact_stream_open(&facts, work->pair, question, err))
        return err_wrap(err, "could not read the catalogs");
    for (;;) {
        const struct fact *now[SIDES];
        fact_stream_peek(&facts, now);
        if (!now[SIDE_SOURCE] && !now[SIDE_TARGET])
            return fact_stream_close(&facts, err);
        if (!compare_fact(work, now[SIDE_SOURCE], now[SIDE_TARGET], err) ||
            !fact_stream_advance(&facts, now, err))
            return false;
    }
}

static bool compare_round(struct work *work, struct err *err)
{
    script_release(work->script);
    key_set_release(&work->missing);
    key_set_release(&work->extra);
    work->is_again = false;
    for (size_t i = 0; i < schema_question_count; i++)
        if (!compare_question(work, schema_questions[i], err))
            return false;
    return true;
}

/* --- what the patterns leave out --- */

static bool is_covered(const struct table *table, void *arg)
{
    struct selected names = {table->schema, table->name, table->root_schema, table->root_name};
    return selection_covers(arg, &names);
}

/* As the schema copy does: unselected tables, and what depends on them. */
static bool leave_out(struct work *work, struct selection *selection, enum side side,
                      struct err *err)
{
    AUTO(table_list_release) struct table_list tables = TABLE_LIST_INIT;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    struct conn *conn = work->pair->conns[side];
    if (!catalog_tables(conn, work->settings->keeper_schema, &tables, err))
        return false;
    table_list_filter(&tables, is_covered, selection);
    for (size_t i = 0; i < tables.count; i++)
        array_add_oid(&oids, tables.items[i].oid);
    const char *const params[] = {array_end(&oids), work->settings->keeper_schema};
    if (!conn_query_params(conn, facts_selection_sql, 2, params, &rows, err))
        return err_wrap(err, "could not read what depends on tables that are not selected");
    for (int i = 0; i < rows_count(rows); i++) {
        AUTO(str_free)
        char *key = str_fmt("%s.%s", rows_text(rows, i, 1), rows_text(rows, i, 2));
        if (rows_text(rows, i, 0)[0] == 'x')
            key_set_add(&work->left_out[side], key);
    }
    return true;
}

static bool apply_selection(struct work *work, struct err *err)
{
    AUTO(selection_release) struct selection selection = SELECTION_INIT;
    if (!selection_read(work->settings, &selection, err))
        return false;
    return selection_is_all(&selection) ||
           (leave_out(work, &selection, SIDE_SOURCE, err) && selection_check(&selection, err) &&
            leave_out(work, &selection, SIDE_TARGET, err));
}

bool schema_compare(struct pair *pair, const struct settings *settings, bool is_followed,
                    struct script *ret_script, struct err *err)
{
    AUTO(work_release)
    struct work work = {
        .pair = pair, .settings = settings, .is_followed = is_followed, .script = ret_script};
    if (!fact_stream_begin(pair, settings->keeper_schema, err) || !apply_selection(&work, err))
        return false;
    work.is_again = true;
    for (int round = 0; round < MAX_ROUNDS && work.is_again; round++)
        if (!compare_round(&work, err))
            return false;
    key_set_each(&work.gone, print_drop, ret_script);
    return fact_stream_end(pair, err);
}
