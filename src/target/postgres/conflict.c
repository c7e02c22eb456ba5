/* Changes that do not fit the rows of the target, because somebody else has changed them or a copy
 * or an earlier stream has brought them already. Applier thread.
 *
 * The policy says what happens. A collision is one with a row that has the same key; the key is
 * the one by which statements find rows, when a unique index of the target carries it.
 *
 *            error   update                                  nothing
 *   INSERT   stops   overwrites the row that is there        keeps the row that is there
 *   UPDATE   stops   inserts the row when it is missing;     leaves a missing row out
 *                    a row that has its new key goes
 *   DELETE   stops   goes on                                 goes on
 *
 * `update` makes the target's row the source's, whatever was there: a stretch of the stream that is
 * applied twice ends where it would have ended once. It stops where it cannot know the row: an
 * UPDATE of a missing row that leaves out unchanged TOAST values. It stops at a collision in
 * another unique index than the key's, and when overwriting would change a GENERATED ALWAYS
 * identity column outside the key. `nothing` keeps the target's row whatever index finds it (a
 * table with a DEFERRABLE constraint: by its key only). An UPDATE that collides stops. A table
 * without a key has no row to overwrite: INSERTs are plain. An UPDATE or DELETE that touches
 * several rows stops always.
 *
 * Each is counted when its group has committed. The first few of a kind in a table are told at
 * once, later ones with a number from time to time: table and key, never another value. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/postgres/inside.h"

enum { TOLD_AT_ONCE = 5, TELL_EVERY_MS = 10000 };

static const char UNIQUE_VIOLATION[] = "23505";
static const char NOT_SUPPORTED[] = "0A000";

static const struct {
    enum metric metric;
    const char *text;
} collisions[] = {
    [INSERT_OVERWRITTEN] = {METRIC_INSERTS_OVERWRITTEN, "the row was there: overwritten"},
    [INSERT_KEPT] = {METRIC_INSERTS_KEPT, "a row was there: kept"},
    [UPDATE_OVERWRITTEN] = {METRIC_UPDATES_OVERWRITTEN, "a row had its new key: deleted"},
    [UPDATE_INSERTED] = {METRIC_UPDATES_INSERTED, "the row was missing: inserted"},
    [UPDATE_SKIPPED] = {METRIC_UPDATES_SKIPPED, "the row is missing: left out"},
    [DELETE_SKIPPED] = {METRIC_DELETES_SKIPPED, "the row is missing already: left out"},
};

void conflict_count(struct postgres *pg)
{
    for (size_t i = 0; i < COLLISION_COUNT; i++) {
        metrics_add(pg->options.metrics, collisions[i].metric, pg->collisions[i]);
        pg->collisions[i] = 0;
    }
}

static void tell(struct postgres *pg, const struct pending *pending, enum collision kind)
{
    struct tally *tally = &pending->destination->tallies[kind];
    int64_t now_ms = clock_ms();
    bool is_early = tally->count <= TOLD_AT_ONCE;
    if (!pg->options.note || (!is_early && now_ms - tally->told_ms < TELL_EVERY_MS))
        return;
    AUTO(str_free) char *row = change_describe(pending->destination, pending->change);
    uint64_t untold = tally->count - tally->told_count - 1;
    AUTO(str_free) char *more = str_fmt(", and %" PRIu64 " more before it", untold);
    AUTO(str_free)
    char *line =
        str_fmt("%s: %s%s%s", row, collisions[kind].text, untold ? more : "",
                tally->count == TOLD_AT_ONCE ? " (further ones: a line from time to time)" : "");
    tally->told_count = tally->count;
    tally->told_ms = now_ms;
    pg->options.note(line);
}

static bool pass(struct postgres *pg, const struct pending *pending, enum collision kind)
{
    pg->collisions[kind]++;
    pending->destination->tallies[kind].count++;
    tell(pg, pending, kind);
    return true;
}

static bool stop(struct postgres *pg, const struct pending *pending, int64_t touched,
                 struct err *err)
{
    AUTO(str_free) char *row = change_describe(pending->destination, pending->change);
    metrics_add(pg->options.metrics, METRIC_CONFLICTS_STOPPED, 1);
    (void)err_set(err, ERR_DATA, "could not apply %s: it touched %" PRId64 " rows, not one", row,
                  touched);
    (void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", touched ? "21000" : "02000");
    if (pending->change->kind == CHANGE_UPDATE && pg->options.on_conflict == CONFLICT_UPDATE &&
        touched == 0)
        return err_hint(err, "the stream leaves out large values that did not change, so that the "
                             "missing row cannot be made: put it there as it was on the source, "
                             "then start again");
    return err_hint(err, "the target has been changed by somebody else: put the row there as it "
                         "was on the source, then start again");
}

static bool judge_one(struct postgres *pg, const struct pending *pending, int64_t touched,
                      struct err *err)
{
    enum on_conflict policy = pg->options.on_conflict;
    if (touched == 1)
        return true;
    if (touched == 0 && policy != CONFLICT_ERROR && pending->change->kind == CHANGE_DELETE)
        return pass(pg, pending, DELETE_SKIPPED);
    if (touched == 0 && policy == CONFLICT_NOTHING)
        return pass(pg, pending, UPDATE_SKIPPED);
    return stop(pg, pending, touched, err);
}

/* No row came back: there is one with this key that may not be overwritten. */
static bool judge_upsert(struct postgres *pg, const struct pending *pending,
                         const struct pipe_answer *answer, struct err *err)
{
    if (answer->affected == 1)
        return answer->first[0] == 't' || pass(pg, pending, INSERT_OVERWRITTEN);
    AUTO(str_free) char *row = change_describe(pending->destination, pending->change);
    metrics_add(pg->options.metrics, METRIC_CONFLICTS_STOPPED, 1);
    (void)err_set(err, ERR_DATA,
                  "could not apply %s: the row that is there could not be overwritten", row);
    (void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", UNIQUE_VIOLATION);
    return err_hint(err, "it has another value in a column GENERATED ALWAYS AS IDENTITY, which no "
                         "UPDATE can set, or a trigger refused: delete it on the target, then "
                         "start again");
}

static bool judge_counts(struct postgres *pg, const struct pending *pending,
                         const struct pipe_answer *answer, struct err *err)
{
    char *end = NULL;
    long long touched = strtoll(answer->first, &end, 10);
    long long cleared = strtoll(end, NULL, 10);
    if (touched > 1 || (touched == 0 && !pending->statement->makes))
        return stop(pg, pending, touched, err);
    if (cleared)
        (void)pass(pg, pending, UPDATE_OVERWRITTEN);
    return touched == 1 || pass(pg, pending, UPDATE_INSERTED);
}

bool conflict_judge(struct postgres *pg, const struct pending *pending,
                    const struct pipe_answer *answer, struct err *err)
{
    switch (pending->statement ? pending->statement->answer : ANSWER_ANY) {
    case ANSWER_ANY:
        return true;
    case ANSWER_ONE:
        return judge_one(pg, pending, answer->affected, err);
    case ANSWER_KEPT:
        return answer->affected == 1 || pass(pg, pending, INSERT_KEPT);
    case ANSWER_UPSERT:
        return judge_upsert(pg, pending, answer, err);
    case ANSWER_COUNTS:
        return judge_counts(pg, pending, answer, err);
    }
    return true;
}

bool conflict_reject(struct postgres *pg, const struct pending *pending, const struct err *why,
                     struct err *err)
{
    (void)err_copy(err, why);
    if (!pending->change)
        return false;
    bool is_collision = strcmp(err->sqlstate, UNIQUE_VIOLATION) == 0;
    if (is_collision && !pg->options.is_ahead)
        metrics_add(pg->options.metrics, METRIC_CONFLICTS_STOPPED, 1);
    /* What the server refuses about a row is the row's fault unless the connection is. */
    if (err->kind == ERR_FATAL)
        err->kind = ERR_DATA;
    AUTO(str_free) char *row = change_describe(pending->destination, pending->change);
    (void)err_wrap(err, "could not apply %s", row);
    if (pending->change->kind == CHANGE_TRUNCATE && strcmp(err->sqlstate, NOT_SUPPORTED) == 0)
        return err_hint(err, "a table outside the pipeline refers to it by a foreign key: drop "
                             "that key on the target");
    if (conn_refused_encoding(err))
        return err_hint(err,
                        "the target's encoding has no such character, and the stream keeps the "
                        "row as it was written: tear-down, then copy again into a database "
                        "whose encoding has it, or after mending the value on the source");
    if (is_collision && pg->options.on_conflict != CONFLICT_ERROR)
        return err_hint(err, "on_conflict_action does not decide this collision, of an UPDATE or "
                             "in another unique index than the key's: delete the row in the way "
                             "on the target, then start again: nothing of its transaction has "
                             "been applied");
    if (err->kind == ERR_DATA)
        return err_hint(err, "mend the row on the target, then start again: nothing of its "
                             "transaction has been applied");
    return false;
}
