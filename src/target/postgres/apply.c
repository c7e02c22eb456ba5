/* Applying groups: one pipeline of prepared statements, for sets of rows (sets.c) or change by
 * change, the position last. Applier thread.
 *
 * Invariants: the changes of a group and its position commit in one transaction, and only when
 * every UPDATE and DELETE touched exactly one row, or what the policy allows instead (conflict.c),
 * and nobody else has moved the position. Durable
 * is a position only when the target's WAL is flushed up to its commit: our session commits
 * asynchronously. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/lsn.h"
#include "pg/pipe.h"
#include "pg/quote.h"
#include "target/postgres/inside.h"

enum {
    CHUNK = 512,           /* answers are read when so many commands more are on their way */
    XLOG_PAGE_HEADER = 40, /* the longer of the two (SizeOfXLogLongPHD) */
    FLUSH_POLL_MS = 20,
};

static void expect(struct postgres *pg, struct pending pending)
{
    assert(pg->pending_count < PENDING_MAX);
    pg->pending[(pg->pending_first + pg->pending_count++) % PENDING_MAX] = pending;
}

/* What does not fit is no error yet when the order of the source may make it fit: in a set, or in a
 * table that shares its own with others. *ret_is_refused: the group is applied in its order. */
static bool judge_refusal(struct postgres *pg, const struct pending *pending,
                          const struct pipe_answer *answer, bool *ret_is_refused, struct err *err)
{
    bool fits = pending->fitting_rows < 0 || answer->affected == pending->fitting_rows;
    bool may_refuse = pending->is_set ||
                      (pg->is_by_sets && pending->destination && pending->destination->is_routed);
    *ret_is_refused = false;
    if (!may_refuse || (answer->kind == PIPE_DONE && fits))
        return true;
    if (answer->kind == PIPE_FAILED && answer->fail.kind == ERR_RETRY)
        return err_copy(err, &answer->fail);
    log_debug("%s: %s", pending->destination->label,
              answer->kind == PIPE_FAILED ? answer->fail.text : "other rows were there");
    if (!pg->refused)
        pg->refused = pending->destination;
    *ret_is_refused = true;
    return true;
}

/* What the server refused because of itself (a file that cannot be read, a damaged index) is not
 * the change's fault. Always false. */
static bool blame(struct postgres *pg, const struct pending *pending, const struct err *err)
{
    static const char *const servers[] = {"58", "F0", "XX"};
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        if (strncmp(err->sqlstate, servers[i], 2) == 0)
            return false;
    if (pg->options.failure && pending->change && err->kind == ERR_DATA)
        apply_failure_change(pg->options.failure, pending->change,
                             change_describe(pending->destination, pending->change), err);
    return false;
}

/* The position row was where this group started, or nothing is committed. */
static bool judge_position(const struct postgres *pg, const struct pipe_answer *answer,
                           struct err *err)
{
    char from[LSN_TEXT];
    if (answer->kind != PIPE_DONE)
        return err_copy(err, &answer->fail);
    return answer->affected == 1 ||
           err_set(err, ERR_RETRY,
                   "the position is no longer %s: another engine has worked on this pipeline; "
                   "reading it again",
                   lsn_format(pg->start.lsn, from));
}

/* Reads answers until at most `left` are to come. */
static bool drain(struct postgres *pg, size_t left, struct err *err)
{
    while (pg->pending_count > left) {
        struct pipe_answer answer;
        bool is_refused = false;
        struct pending *pending = &pg->pending[pg->pending_first];
        if (!pipe_next(pg->conn, &answer, err))
            return false;
        pg->pending_first = (pg->pending_first + 1) % PENDING_MAX;
        pg->pending_count--;
        if (answer.kind != PIPE_DONE && pending->ret_is_prepared)
            *pending->ret_is_prepared = false;
        if (answer.kind == PIPE_SKIPPED && pg->refused)
            continue;
        if (pending->is_position) {
            if (!judge_position(pg, &answer, err))
                return false;
            continue;
        }
        if (!judge_refusal(pg, pending, &answer, &is_refused, err))
            return false;
        if (is_refused || pending->is_set)
            continue;
        if (answer.kind == PIPE_FAILED)
            return conflict_reject(pg, pending, &answer.fail, err) || blame(pg, pending, err);
        if (answer.kind != PIPE_DONE)
            return err_set(err, ERR_FATAL, "target: an answer is out of order");
        if (!conflict_judge(pg, pending, &answer, err))
            return blame(pg, pending, err);
    }
    return true;
}

bool apply_drain(struct postgres *pg, struct err *err)
{
    return pipe_flush(pg->conn, err) && drain(pg, 0, err);
}

/* Room for more commands: the server answers the older half while we send on. */
static bool make_room(struct postgres *pg, struct err *err)
{
    if (pg->pending_count < 2 * CHUNK)
        return true;
    return pipe_flush(pg->conn, err) && drain(pg, CHUNK, err);
}

bool apply_send_sql(struct postgres *pg, const char *sql, struct err *err)
{
    if (!make_room(pg, err))
        return false;
    expect(pg, (struct pending){0});
    return pipe_sql(pg->conn, sql, err);
}

bool apply_send_set(struct postgres *pg, struct destination *destination,
                    struct set_statement *statement, int64_t rows, struct err *err)
{
    if (!make_room(pg, err))
        return false;
    if (!statement->is_prepared) {
        statement->is_prepared = true;
        expect(pg, (struct pending){.destination = destination,
                                    .is_set = true,
                                    .fitting_rows = -1,
                                    .ret_is_prepared = &statement->is_prepared});
        if (!pipe_prepare(pg->conn, statement->name, statement->sql, err))
            return false;
    }
    expect(pg, (struct pending){.destination = destination, .is_set = true, .fitting_rows = rows});
    return pipe_execute(pg->conn, statement->name, &pg->params, err);
}

bool apply_collect_params(const struct statement *statement, const struct change *change,
                          const struct destination *destination, struct pipe_params *params,
                          struct err *err)
{
    params->count = statement->param_count;
    for (size_t i = 0; i < statement->param_count; i++) {
        const struct statement_param *param = &statement->params[i];
        const struct tuple *tuple = param->is_old ? &change->old : &change->new;
        const struct value *value = &tuple->values[param->column];
        if (param->column >= tuple->count || value->kind == VALUE_UNCHANGED) {
            AUTO(str_free) char *row = change_describe(destination, change);
            return err_set(err, ERR_DATA, "could not apply %s: the source did not send column %s",
                           row, destination->relation->columns[param->column].name);
        }
        params->data[i] = value->kind == VALUE_NULL ? NULL : value->data;
        params->lengths[i] = (int)value->len;
        params->formats[i] = value->kind == VALUE_BINARY;
    }
    return true;
}

/* What an answer must say for the change to have found just its row; -1: that is not told. */
static int64_t fitting_rows(const struct statement *statement)
{
    return statement->answer == ANSWER_ONE || statement->answer == ANSWER_KEPT ? 1 : -1;
}

void apply_collect_position(struct postgres *pg, const struct position *to,
                            struct position_params *ret_texts)
{
    const char *texts[] = {pg->options.keeper.slot, lsn_format(pg->start.lsn, ret_texts->from),
                           lsn_format(to->lsn, ret_texts->to)};
    pg->params.count = COUNT_OF(texts);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        pg->params.data[i] = texts[i];
        pg->params.lengths[i] = (int)strlen(texts[i]);
        pg->params.formats[i] = 0;
    }
}

/* Behind the changes, on the same way: only COMMIT waits for the answers. */
static bool send_position(struct postgres *pg, const struct position *to, struct err *err)
{
    struct position_params position;
    if (!fault_point("group.applied", err) || !make_room(pg, err))
        return false;
    if (!pg->is_position_prepared) {
        pg->is_position_prepared = true;
        expect(pg, (struct pending){.ret_is_prepared = &pg->is_position_prepared});
        if (!pipe_prepare(pg->conn, "position", pg->position_sql, err))
            return false;
    }
    apply_collect_position(pg, to, &position);
    expect(pg, (struct pending){.is_position = true});
    return pipe_execute(pg->conn, "position", &pg->params, err);
}

static bool send_row(struct postgres *pg, const struct change *change, struct err *err)
{
    struct destination *destination = NULL;
    if (!destination_find(pg, change->relation, &destination, err))
        return false;
    struct pending refused = {.change = change, .destination = destination};
    if (change->kind != CHANGE_INSERT && change->relation->replica_identity == 'n') {
        (void)err_set(err, ERR_DATA, "source: change of a row of %s, which has no identity",
                      destination->label);
        return blame(pg, &refused, err);
    }
    struct statement *statement = statement_find(pg, destination, change);
    if (!statement->sql)
        return true;
    if (!apply_collect_params(statement, change, destination, &pg->params, err))
        return blame(pg, &refused, err);
    if (!statement->is_prepared) {
        statement->is_prepared = true;
        expect(pg, (struct pending){.ret_is_prepared = &statement->is_prepared});
        if (!pipe_prepare(pg->conn, statement->name, statement->sql, err))
            return false;
    }
    expect(pg, (struct pending){change, destination, statement,
                                .fitting_rows = fitting_rows(statement)});
    return pipe_execute(pg->conn, statement->name, &pg->params, err);
}

/* The listed tables together; the source lists what it cascaded to. Never CASCADE here: that
 * could empty tables outside the pipeline. */
static bool send_truncate(struct postgres *pg, const struct change *change, struct err *err)
{
    struct destination *destination = NULL;
    AUTO(buf_release) struct buf sql = BUF_INIT;
    for (size_t i = 0; i < change->truncated_count; i++) {
        if (!destination_find(pg, change->truncated[i], &destination, err))
            return false;
        buf_puts(&sql, i ? ", " : "TRUNCATE ");
        buf_puts(&sql, destination->is_partitioned ? "" : "ONLY ");
        quote_qualified(&sql, destination->schema,
                        destination->name); /* a root: once for each leaf */
    }
    if (!destination)
        return true;
    buf_puts(&sql, change->restarts_identity ? " RESTART IDENTITY" : "");
    expect(pg, (struct pending){change, destination, NULL, .fitting_rows = -1});
    return pipe_sql(pg->conn, sql.data, err);
}

static void count_changes(struct postgres *pg, const struct group *group)
{
    static const enum metric counters[] = {
        [CHANGE_INSERT] = METRIC_INSERTS,
        [CHANGE_UPDATE] = METRIC_UPDATES,
        [CHANGE_DELETE] = METRIC_DELETES,
        [CHANGE_TRUNCATE] = METRIC_TRUNCATES,
    };
    for (size_t i = 0; i < group->count; i++)
        pg->counts[group->changes[i]->kind]++;
    if (pg->options.is_ahead && !group->is_complete) /* the source may roll it back */
        return;
    for (enum change_kind kind = CHANGE_INSERT; kind <= CHANGE_TRUNCATE; kind++)
        metrics_add(pg->options.metrics, counters[kind], pg->counts[kind]);
    memset(pg->counts, 0, sizeof(pg->counts));
}

bool apply_send_change(struct postgres *pg, const struct change *change, struct err *err)
{
    switch (change->kind) {
    case CHANGE_BEGIN:
    case CHANGE_COMMIT:
    case CHANGE_IDLE:
    case CHANGE_STREAM_START:
    case CHANGE_STREAM_STOP:
    case CHANGE_STREAM_COMMIT:
    case CHANGE_STREAM_ABORT:
        return true;
    case CHANGE_INSERT:
    case CHANGE_UPDATE:
    case CHANGE_DELETE:
    case CHANGE_TRUNCATE:
        break;
    }
    if (!make_room(pg, err))
        return false;
    return change->kind == CHANGE_TRUNCATE ? send_truncate(pg, change, err)
                                           : send_row(pg, change, err);
}

static bool deallocate(struct postgres *pg, const char *name, const char *suffix, struct err *err)
{
    AUTO(str_free) char *sql = str_fmt("DEALLOCATE %s%s", name, suffix);
    return apply_send_sql(pg, sql, err);
}

/* Between groups no answer is on its way: nothing points at a retired destination any more. */
static bool free_retired(struct postgres *pg, struct err *err)
{
    while (pg->retired) {
        AUTO(destination_free) struct destination *destination = pg->retired;
        pg->retired = destination->next_retired;
        for (const struct statement *s = destination->statements; s; s = s->next)
            if ((s->is_prepared && !deallocate(pg, s->name, "", err)) ||
                (s->is_strict_prepared && !deallocate(pg, s->name, STRICT_SUFFIX, err)))
                return false;
        for (const struct set_statement *s = destination->sets; s; s = s->next)
            if (s->is_prepared && !deallocate(pg, s->name, "", err))
                return false;
    }
    return true;
}

bool apply_enter_pipeline(struct postgres *pg, struct err *err)
{
    if (!pg->is_pipelining && !pipe_enter(pg->conn, err))
        return false;
    pg->is_pipelining = true;
    return true;
}

static bool begin(struct postgres *pg, struct err *err)
{
    if (pg->is_open)
        return free_retired(pg, err);
    if (!apply_enter_pipeline(pg, err))
        return false;
    pg->is_open = true;
    if (!fault_point("group.begin", err) || !apply_send_sql(pg, "BEGIN", err))
        return false;
    /* A statement of the source's that swaps deferrable keys comes as one change after the other;
     * in replica role they are not checked at all. */
    return (pg->is_replica || apply_send_sql(pg, "SET CONSTRAINTS ALL DEFERRED", err)) &&
           free_retired(pg, err);
}

/* Where the WAL must be flushed up to for everything before `insert`. At a page's start the insert
 * position lies behind the page header, which the flush position does not reach by itself. */
static uint64_t needed_flush(const struct postgres *pg, uint64_t insert)
{
    uint64_t offset = insert % pg->wal_block_size;
    return offset <= XLOG_PAGE_HEADER ? insert - offset : insert;
}

static void note_flushed(struct postgres *pg, uint64_t flushed)
{
    size_t done = 0;
    while (done < pg->unflushed_count && pg->unflushed[done].wal <= flushed)
        pg->durable = pg->unflushed[done++].position;
    if (!done)
        return;
    pg->unflushed_count -= done;
    memmove(pg->unflushed, pg->unflushed + done, pg->unflushed_count * sizeof(*pg->unflushed));
}

static void note_unflushed(struct postgres *pg, const struct unflushed *unflushed)
{
    /* Full: the newest entry stands for both; it only becomes durable later than it might. */
    if (pg->unflushed_count == UNFLUSHED_MAX)
        pg->unflushed_count--;
    pg->unflushed[pg->unflushed_count++] = *unflushed;
}

void postgres_note_committed(struct postgres *pg, const struct position *position, uint64_t wal)
{
    struct unflushed unflushed = {.position = *position, .wal = needed_flush(pg, wal)};
    note_unflushed(pg, &unflushed);
}

void postgres_succeed(struct target *target, struct target *other)
{
    struct postgres *pg = postgres_of(target);
    struct postgres *from = postgres_of(other);
    pg->start = from->start;
    if (from->durable.lsn > pg->durable.lsn)
        pg->durable = from->durable;
    for (size_t i = 0; i < from->unflushed_count; i++)
        note_unflushed(pg, &from->unflushed[i]);
    from->unflushed_count = 0;
}

/* Asks where the WAL is: see prepare_session(). */
bool apply_send_wal(struct postgres *pg, struct err *err)
{
    static const struct pipe_params none;
    return pipe_execute(pg->conn, "wal", &none, err);
}

static bool read_wal(struct postgres *pg, uint64_t *ret_inserted, uint64_t *ret_flushed,
                     struct err *err)
{
    struct pipe_answer answer;
    if (!pipe_next(pg->conn, &answer, err))
        return false;
    if (answer.kind != PIPE_DONE)
        return err_copy(err, &answer.fail);
    char *flushed = strchr(answer.first, ' ');
    if (flushed)
        *flushed++ = '\0';
    return (flushed && lsn_parse(answer.first, ret_inserted) && lsn_parse(flushed, ret_flushed)) ||
           err_set(err, ERR_FATAL, "target: not an LSN: \"%s\"", answer.first);
}

static bool read_sync(struct postgres *pg, struct err *err)
{
    struct pipe_answer answer;
    return pipe_next_sync(pg->conn, &answer, err) &&
           (answer.kind == PIPE_SYNC || err_copy(err, &answer.fail));
}

/* The group is committed: where the WAL is now tells when it will be durable. */
static bool note_committed(struct postgres *pg, const struct position *position, struct err *err)
{
    uint64_t inserted = 0;
    uint64_t flushed = 0;
    pg->is_open = false;
    pg->start = *position;
    conflict_count(pg);
    if (!fault_point("group.committed", err) || !read_wal(pg, &inserted, &flushed, err) ||
        !read_sync(pg, err))
        return false;
    postgres_note_committed(pg, position, inserted);
    note_flushed(pg, flushed);
    return true;
}

static bool commit(struct postgres *pg, const struct position *position, struct err *err)
{
    struct pipe_answer answer;
    if (!fault_point("group.commit", err) || !pipe_sql(pg->conn, "COMMIT", err) ||
        !apply_send_wal(pg, err) || !pipe_sync(pg->conn, err) || !pipe_next(pg->conn, &answer, err))
        return false;
    if (answer.kind != PIPE_DONE)
        return err_copy(err, &answer.fail);
    return note_committed(pg, position, err);
}

bool apply_recover(struct postgres *pg, struct err *err)
{
    return pipe_sync(pg->conn, err) && read_sync(pg, err);
}

static bool apply_in_order(struct postgres *pg, const struct group *group, struct err *err)
{
    for (size_t i = 0; i < group->count; i++)
        if (!apply_send_change(pg, group->changes[i], err))
            return false;
    return true;
}

/* All answers are read: the caller may free the changes. */
static bool apply_changes(struct postgres *pg, const struct group *group, struct err *err)
{
    bool by_sets = false;
    bool is_refused = false;
    return begin(pg, err) && sets_begin(pg, group, &by_sets, err) &&
           (!by_sets || sets_apply(pg, group, &is_refused, err)) &&
           ((by_sets && !is_refused) || apply_in_order(pg, group, err)) &&
           (!group->is_complete || send_position(pg, &group->position, err)) &&
           apply_drain(pg, err);
}

bool postgres_run(struct target *target, const char *sql, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    return begin(pg, err) && apply_send_sql(pg, sql, err) && apply_drain(pg, err);
}

bool apply_finish_quick(struct postgres *pg, const struct position *position, bool is_done,
                        struct err *err)
{
    uint64_t unused = 0;
    return is_done ? note_committed(pg, position, err)
                   : read_wal(pg, &unused, &unused, err) && read_sync(pg, err);
}

bool postgres_apply(struct target *target, const struct group *group, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    bool is_done = false;
    if (!quick_apply(pg, group, &is_done, err))
        return false;
    if (is_done) {
        count_changes(pg, group);
        return true;
    }
    if (!apply_changes(pg, group, err)) {
        if (pg->options.failure)
            apply_failure_place(pg->options.failure, group->changes, group->count);
        return false;
    }
    count_changes(pg, group);
    return !group->is_complete ||
           (fault_point("group.position", err) && commit(pg, &group->position, err));
}

static bool ask_flushed(struct postgres *pg, struct err *err)
{
    uint64_t inserted = 0;
    uint64_t flushed = 0;
    if (!apply_enter_pipeline(pg, err) || !apply_send_wal(pg, err) || !pipe_sync(pg->conn, err) ||
        !read_wal(pg, &inserted, &flushed, err) || !read_sync(pg, err))
        return false;
    note_flushed(pg, flushed);
    return true;
}

bool postgres_limit_locks(struct target *target, int timeout_ms, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    struct pipe_answer answer;
    AUTO(str_free) char *sql = str_fmt("SET lock_timeout = %d", timeout_ms);
    assert(!pg->is_open);
    return apply_enter_pipeline(pg, err) && pipe_sql(pg->conn, sql, err) &&
           pipe_sync(pg->conn, err) && pipe_next(pg->conn, &answer, err) &&
           (answer.kind == PIPE_DONE || err_copy(err, &answer.fail)) && read_sync(pg, err);
}

bool postgres_flushed(struct target *target, int timeout_ms, struct position *ret_durable,
                      struct err *err)
{
    struct postgres *pg = postgres_of(target);
    int64_t until = clock_ms() + timeout_ms;
    /* Nothing else may be said for hours: a target that has gone is noticed here. */
    if (!conn_look(pg->conn, err))
        return false;
    for (;;) {
        if (pg->unflushed_count && !pg->is_open && !ask_flushed(pg, err))
            return false;
        int64_t left = until - clock_ms();
        if (!pg->unflushed_count || left <= 0)
            break;
        if (stop_wait(pg->options.stop, (int)MIN_OF(left, (int64_t)FLUSH_POLL_MS)))
            return err_set(err, ERR_STOP, "interrupted");
    }
    *ret_durable = pg->durable;
    return true;
}
