/* Applying a small group in one go: its changes, the position and the commit are sent together, and
 * waited for once.
 *
 * Invariant: that of apply.c. No answer is judged before the commit here, so each statement fails
 * by itself unless it touches exactly one row; the server then skips what follows, and the implicit
 * transaction of the pipeline, which ends with its sync, is rolled back. Nothing is left of the
 * group then, and it is applied again in the ordinary way, which says what is wrong. So only such
 * groups go this way whose statements can fail like that, and where no check waits for the commit
 * (replica role, no triggers). */
#include "target/postgres/inside.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

enum { QUICK_MAX = 8 }; /* changes; more are worth sets */

/* Divides by zero unless there is one row. */
static char *strict_sql(const char *sql)
{
    return str_fmt("WITH done AS (%s RETURNING 1) SELECT 1 OPERATOR(pg_catalog./)"
                   " CASE pg_catalog.count(*) WHEN 1 THEN 1 ELSE 0 END FROM done",
                   sql);
}

/* One command on its way. */
struct sent {
    bool *ret_is_prepared; /* of a PREPARE: cleared when the server did not do it */
};

struct quick {
    struct postgres *pg;
    struct statement *statements[QUICK_MAX];
    struct sent sent[2 * QUICK_MAX + 2];
    size_t sent_count;
};

static bool prepare(struct quick *quick, const char *name, const char *sql, bool is_strict,
                    bool *is_prepared, struct err *err)
{
    if (*is_prepared)
        return true;
    AUTO(str_free) char *strict = is_strict ? strict_sql(sql) : NULL;
    *is_prepared = true;
    quick->sent[quick->sent_count++] = (struct sent){.ret_is_prepared = is_prepared};
    return pipe_prepare(quick->pg->conn, name, strict ? strict : sql, err);
}

static bool execute(struct quick *quick, const char *name, struct err *err)
{
    quick->sent[quick->sent_count++] = (struct sent){0};
    return pipe_execute(quick->pg->conn, name, &quick->pg->params, err);
}

/* False in *ret_fits: the change cannot go this way. */
static bool find_statement(struct postgres *pg, const struct change *change, int64_t group_ms,
                           struct statement **ret_statement, bool *ret_fits, struct err *err)
{
    struct destination *destination = NULL;
    struct err unused = {0};
    *ret_fits = false;
    if (!change->relation) /* TRUNCATE */
        return true;
    if (!destination_refresh(pg, change->relation, group_ms, &destination, err))
        return false;
    if (destination->has_triggers ||
        (change->kind != CHANGE_INSERT && change->relation->replica_identity == 'n'))
        return true;
    *ret_statement = statement_find(pg, destination, change);
    *ret_fits = !(*ret_statement)->moves &&
                apply_collect_params(*ret_statement, change, destination, &pg->params, &unused);
    return true;
}

static bool find_statements(struct quick *quick, const struct group *group, bool *ret_fits,
                            struct err *err)
{
    int64_t group_ms = clock_ms();
    *ret_fits = true;
    for (size_t i = 0; i < group->count && *ret_fits; i++)
        if (!find_statement(quick->pg, group->changes[i], group_ms, &quick->statements[i], ret_fits,
                            err))
            return false;
    *ret_fits = *ret_fits && !quick->pg->retired;
    return true;
}

static bool send_change(struct quick *quick, const struct change *change,
                        struct statement *statement, struct err *err)
{
    char name[sizeof(statement->name) + 1];
    bool is_strict = statement->kind != CHANGE_INSERT;
    if (!statement->sql)
        return true;
    (void)snprintf(name, sizeof(name), "%s%s", statement->name, is_strict ? STRICT_SUFFIX : "");
    return prepare(quick, name, statement->sql, is_strict,
                   is_strict ? &statement->is_strict_prepared : &statement->is_prepared, err) &&
           apply_collect_params(statement, change, NULL, &quick->pg->params, err) &&
           execute(quick, name, err);
}

static bool send_all(struct quick *quick, const struct group *group, struct err *err)
{
    struct postgres *pg = quick->pg;
    struct position_params position;
    if (!fault_point("group.begin", err))
        return false;
    for (size_t i = 0; i < group->count; i++)
        if (!send_change(quick, group->changes[i], quick->statements[i], err))
            return false;
    if (!fault_point("group.applied", err) ||
        !prepare(quick, "position" STRICT_SUFFIX, pg->position_sql, true,
                 &pg->is_strict_position_prepared, err))
        return false;
    apply_collect_position(pg, &group->position, &position);
    return execute(quick, "position" STRICT_SUFFIX, err) && fault_point("group.position", err) &&
           fault_point("group.commit", err) && pipe_sync(pg->conn, err) &&
           apply_send_wal(pg, err) && pipe_sync(pg->conn, err);
}

/* Nothing of the group is there then. */
static void note_failed(const struct pipe_answer *answer, bool *ret_is_done)
{
    if (answer->kind == PIPE_FAILED)
        log_debug("a small group is applied in the ordinary way: %s", answer->fail.text);
    *ret_is_done = false;
}

/* Up to the sync, behind which the group is committed or not. */
static bool read_answers(struct quick *quick, bool *ret_is_done, struct err *err)
{
    struct pipe_answer answer;
    *ret_is_done = true;
    for (size_t i = 0; i < quick->sent_count; i++) {
        if (!pipe_next(quick->pg->conn, &answer, err))
            return false;
        if (answer.kind == PIPE_DONE)
            continue;
        if (quick->sent[i].ret_is_prepared)
            *quick->sent[i].ret_is_prepared = false;
        note_failed(&answer, ret_is_done);
    }
    if (!pipe_next_sync(quick->pg->conn, &answer, err))
        return false;
    if (answer.kind == PIPE_FAILED)
        note_failed(&answer, ret_is_done);
    return true;
}

bool quick_apply(struct postgres *pg, const struct group *group, bool *ret_is_done, struct err *err)
{
    struct quick quick = {.pg = pg};
    bool fits = false;
    *ret_is_done = false;
    if (!group->is_complete || group->count > QUICK_MAX || pg->is_open || !pg->is_replica ||
        pg->options.on_conflict != CONFLICT_ERROR)
        return true;
    if (!find_statements(&quick, group, &fits, err))
        return false;
    return !fits || (apply_enter_pipeline(pg, err) && send_all(&quick, group, err) &&
                     read_answers(&quick, ret_is_done, err) &&
                     apply_finish_quick(pg, &group->position, *ret_is_done, err));
}
