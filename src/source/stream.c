/* The pgoutput feed: socket to batches. Stage 1 of following; runs in the stream reader thread.
 *
 * Invariants: whole source transactions in commit order; those whose commit record starts before
 * the start position are left out (equal is new). Reported as flushed is only what confirm() was
 * given. Positions come from Commit, Stream Commit and from keepalives between transactions only: a
 * keepalive inside a transaction carries that very transaction's commit position.
 *
 * A transaction that is sent in progress (blocks between Stream Start and Stream Stop) is kept
 * until its Stream Commit and then replayed into batches as if it had come just now, while nothing
 * else is read. Blocks stand between transactions, never inside one. One at a time may be handed
 * out as it comes instead, ahead of its commit: piece by piece, at its place among the others. What
 * it says of relations is its own until it commits. When a part of it is rolled back all that was
 * handed out is, and the stream ends if more of it comes: that part cannot be taken back alone.
 * What is kept holds no position back: the source goes on remembering a
 * transaction that is open (its slot's restart position stays before it) and sends it again, whole,
 * after a restart from any position. Slots are not made for two-phase commit: a transaction
 * prepared comes when it is committed. */
#include "source/stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/conn.h"
#include "pg/lsn.h"
#include "pg/replication.h"
#include "pg/types.h"
#include "source/pgoutput.h"
#include "source/slot.h"
#include "source/start.h"
#include "source/streamed.h"

enum { STATUS_MS = 1000, STATUS_SOON_MS = 100, ROOM_MS = 1000, TEND_EVERY = 64, REST_MS = 10 };

struct known_relation {
    uint32_t oid;
    struct relation *relation;
    UT_hash_handle hh;
};

struct stream {
    struct feed feed; /* first */
    struct stream_options options;
    struct conn *conn;
    struct types *types; /* NULL: none but plain ones have come */
    struct pgoutput_decoder decoder;
    struct known_relation *relations; /* by OID: a rename swap sends two of one name */
    uint32_t ahead_xid;               /* of the transaction that is handed out ahead; 0: none */
    bool is_ahead;                    /* in a block of it */
    bool is_ahead_partial;            /* a part of it was rolled back: all of it is, for us */
    uint64_t message_lsn;             /* of the message in hand; of a block: its first change */
    struct known_relation *ahead_relations; /* as it described them */
    struct batch *filling;
    struct arena *scratch;            /* of one message */
    struct streamed *streamed;        /* transactions in progress; NULL: they are not sent */
    struct pgoutput_message replayed; /* the Stream Commit of the one that is being replayed */
    bool is_replaying;
    bool has_no_room; /* the disk is full: reading stands still */
    int64_t room_ms;  /* when that was tried last */
    uint64_t after;   /* transactions that committed before are old */
    bool is_binary;
    bool needs_text;
    bool is_in_transaction;
    uint64_t commit_lsn; /* of the transaction in hand */
    bool is_old;         /* the transaction in hand is left out */
    uint32_t timeline;
    uint64_t received;
    uint64_t reported;
    int64_t reported_ms;
    atomic_uint_fast64_t durable;
};

static struct stream *stream_of(struct feed *feed)
{
    return (struct stream *)feed; /* first member */
}

/* --- status to the server --- */

static bool report(struct stream *stream, bool wants_reply, struct err *err)
{
    uint64_t durable = atomic_load(&stream->durable);
    stream->reported = durable;
    stream->reported_ms = clock_ms();
    metrics_raise(stream->options.metrics, METRIC_CONFIRMED_LSN, durable);
    return replication_status(stream->conn, MAX_OF(stream->received, durable), durable, wants_reply,
                              err);
}

/* A status goes out every second at the latest (well before any sane wal_sender_timeout), and soon
 * after the durable position has moved. It asks for an answer: the server's position is news. */
static bool stream_tend(struct feed *feed, struct err *err)
{
    struct stream *stream = stream_of(feed);
    if (atomic_load(stream->options.stay) == SOURCE_LET_GO) {
        conn_free(&stream->conn); /* here: the applier may be held up for as long as it likes */
        return err_set(err, ERR_RETRY,
                       "source: it is being shut down and the target is behind: letting it go");
    }
    int64_t age = clock_ms() - stream->reported_ms;
    bool has_news = atomic_load(&stream->durable) != stream->reported;
    if (age < (has_news ? STATUS_SOON_MS : STATUS_MS))
        return true;
    return report(stream, !stream->is_in_transaction, err);
}

static void stream_confirm(struct feed *feed, const struct position *durable)
{
    atomic_store(&stream_of(feed)->durable, durable->lsn);
}

/* --- messages to changes --- */

static bool know_types(struct stream *stream, const struct pgoutput_message *message,
                       struct err *err)
{
    for (size_t i = 0; i < message->column_count && !stream->types; i++)
        if (!types_is_plain(message->columns[i].type_oid) &&
            !start_types(&stream->options, &stream->types, err))
            return false;
    return true;
}

/* The columns as they are kept; one whose type must travel as text ends a binary stream. */
static bool take_columns(struct stream *stream, const struct pgoutput_message *message,
                         struct relation_column **ret_columns, struct err *err)
{
    struct relation_column *columns =
        arena_alloc(stream->scratch, message->column_count * sizeof(*columns));
    for (size_t i = 0; i < message->column_count; i++) {
        const struct pgoutput_column *from = &message->columns[i];
        columns[i] = (struct relation_column){
            .name = (char *)(uintptr_t)from->name,
            .type_oid = from->type_oid,
            .type_name = (char *)(uintptr_t)types_name(stream->types, from->type_oid),
            .typmod = from->typmod,
            .is_key = from->is_key};
        enum types_answer answer = types_ask(stream->types, from->type_oid);
        if (stream->is_binary && (answer == TYPES_TEXT || answer == TYPES_UNKNOWN)) {
            stream->needs_text = true;
            return err_set(err, ERR_RETRY,
                           "column %s of %s.%s has a type that must travel as text: starting the "
                           "stream again",
                           from->name, message->nspname, message->relname);
        }
    }
    *ret_columns = columns;
    return true;
}

static void forget_relations(struct known_relation **relations)
{
    struct known_relation *known, *next;
    HASH_ITER (hh, *relations, known, next) {
        HASH_DEL(*relations, known);
        relation_unref(&known->relation);
        free(known);
    }
}

/* Those that hold for the message in hand. */
static struct known_relation **relations_of(struct stream *stream)
{
    return stream->is_ahead ? &stream->ahead_relations : &stream->relations;
}

static struct known_relation *know_relation(struct known_relation **relations, uint32_t oid)
{
    struct known_relation *known = NULL;
    HASH_FIND(hh, *relations, &oid, sizeof(oid), known);
    if (!known) {
        known = mem_alloc(sizeof(*known));
        known->oid = oid;
        HASH_ADD(hh, *relations, oid, sizeof(oid), known);
    }
    return known;
}

static bool learn_relation(struct stream *stream, const struct pgoutput_message *message,
                           struct err *err)
{
    struct relation_column *columns = NULL;
    if (!know_types(stream, message, err) || !take_columns(stream, message, &columns, err))
        return false;
    struct known_relation *known = know_relation(relations_of(stream), message->relation_oid);
    const char *schema = message->nspname[0] ? message->nspname : "pg_catalog";
    /* The server describes a relation again after every ANALYZE and the like. */
    if (known->relation && relation_is(known->relation, schema, message->relname,
                                       message->replica_identity, message->column_count, columns))
        return true;
    relation_unref(&known->relation);
    known->relation = relation_new(message->relation_oid, schema, message->relname,
                                   message->replica_identity, message->column_count, columns);
    return true;
}

static bool find_relation(struct stream *stream, uint32_t oid, const struct relation **ret,
                          struct err *err)
{
    struct known_relation *known = NULL;
    HASH_FIND(hh, *relations_of(stream), &oid, sizeof(uint32_t), known);
    if (!known)
        return err_set(err, ERR_FATAL, "source: change to a relation (OID %u) never described",
                       oid);
    *ret = batch_keep(stream->filling, known->relation);
    return true;
}

/* Values borrow from the network message: they move into the batch, texts with a NUL behind. */
static struct tuple own_tuple(struct stream *stream, const struct tuple *from)
{
    struct arena *arena = batch_arena(stream->filling);
    struct tuple tuple = {.count = from->count};
    tuple.values = arena_alloc(arena, from->count * sizeof(*tuple.values));
    for (size_t i = 0; i < from->count; i++) {
        tuple.values[i] = from->values[i];
        if (from->values[i].kind == VALUE_TEXT || from->values[i].kind == VALUE_BINARY)
            tuple.values[i].data = arena_copy(arena, from->values[i].data, from->values[i].len);
    }
    return tuple;
}

static bool check_tuple(const struct relation *relation, const struct tuple *tuple, struct err *err)
{
    if (tuple->count == relation->column_count)
        return true;
    return err_set(err, ERR_FATAL, "source: a row of %s.%s has %u values for %zu columns",
                   relation->schema, relation->name, tuple->count, relation->column_count);
}

static bool add_row(struct stream *stream, enum change_kind kind,
                    const struct pgoutput_message *message, struct err *err)
{
    const struct relation *relation = NULL;
    if (stream->is_old)
        return true;
    if (!find_relation(stream, message->relation_oid, &relation, err))
        return false;
    bool has_old = message->old_kind != PGOUTPUT_OLD_NONE;
    if (has_old && !check_tuple(relation, &message->old, err))
        return false;
    if (kind != CHANGE_DELETE && !check_tuple(relation, &message->new, err))
        return false;
    struct change *change = batch_append(stream->filling, kind);
    change->relation = relation;
    change->lsn = stream->commit_lsn;
    if (message->old_kind == PGOUTPUT_OLD_KEY)
        change->old_kind = OLD_KEY;
    else if (message->old_kind == PGOUTPUT_OLD_FULL)
        change->old_kind = OLD_FULL;
    if (has_old)
        change->old = own_tuple(stream, &message->old);
    if (kind != CHANGE_DELETE)
        change->new = own_tuple(stream, &message->new);
    return true;
}

static bool add_truncate(struct stream *stream, const struct pgoutput_message *message,
                         struct err *err)
{
    if (stream->is_old)
        return true;
    struct change *change = batch_append(stream->filling, CHANGE_TRUNCATE);
    change->truncated = arena_alloc(batch_arena(stream->filling),
                                    message->truncate_count * sizeof(*change->truncated));
    change->lsn = stream->commit_lsn;
    change->restarts_identity = message->truncate_restart_identity;
    for (size_t i = 0; i < message->truncate_count; i++)
        if (!find_relation(stream, message->truncate_oids[i], &change->truncated[i], err))
            return false;
    change->truncated_count = message->truncate_count;
    return true;
}

static bool add_begin(struct stream *stream, const struct pgoutput_message *message,
                      struct err *err)
{
    if (stream->is_in_transaction)
        return err_set(err, ERR_FATAL, "source: Begin inside a transaction");
    stream->is_in_transaction = true;
    stream->commit_lsn = message->lsn;
    stream->is_old = message->lsn < stream->after;
    if (stream->is_old)
        return true;
    struct change *change = batch_append(stream->filling, CHANGE_BEGIN);
    change->xid = message->xid;
    change->lsn = message->lsn;
    return true;
}

static void note_received(struct stream *stream, uint64_t lsn)
{
    stream->received = MAX_OF(stream->received, lsn);
    metrics_raise(stream->options.metrics, METRIC_RECEIVED_LSN, stream->received);
}

static bool add_commit(struct stream *stream, const struct pgoutput_message *message,
                       struct err *err)
{
    if (!stream->is_in_transaction)
        return err_set(err, ERR_FATAL, "source: Commit outside a transaction");
    stream->is_in_transaction = false;
    note_received(stream, message->end_lsn);
    if (stream->is_old)
        return true;
    struct change *change = batch_append(stream->filling, CHANGE_COMMIT);
    change->lsn = message->lsn;
    change->end_lsn = message->end_lsn;
    change->time_us = message->time_us;
    return true;
}

static bool not_asked_for(const struct pgoutput_message *message, struct err *err)
{
    return err_set(err, ERR_FATAL, "source: message '%c' was not asked for", (char)message->kind);
}

/* --- transactions in progress --- */

/* Their end: from here on next() takes what was kept of it, instead of reading. */
static bool begin_replay(struct stream *stream, const struct pgoutput_message *message,
                         struct err *err)
{
    if (!add_begin(stream, message, err))
        return false;
    if (stream->is_old) {
        streamed_abort(stream->streamed, message->xid, message->xid);
        return add_commit(stream, message, err);
    }
    if (!streamed_replay(stream->streamed, message->xid, err))
        return false;
    stream->replayed = (struct pgoutput_message){
        .lsn = message->lsn, .end_lsn = message->end_lsn, .time_us = message->time_us};
    stream->is_replaying = true;
    return true;
}

/* The server does not describe again what it has described in a transaction that has committed. */
static void adopt_relations(struct stream *stream)
{
    struct known_relation *own, *next;
    HASH_ITER (hh, stream->ahead_relations, own, next) {
        struct known_relation *known = know_relation(&stream->relations, own->oid);
        relation_unref(&known->relation);
        known->relation = TAKE(own->relation);
    }
}

static void end_ahead(struct stream *stream)
{
    forget_relations(&stream->ahead_relations);
    stream->ahead_xid = 0;
    stream->is_ahead_partial = false;
}

/* More of one of which a part was rolled back, and with it all that was handed out. */
static bool refuse_partial(struct stream *stream, struct err *err)
{
    if (!stream->is_ahead_partial)
        return true;
    atomic_store(&stream->options.ahead->has_failed, true);
    return err_set(err, ERR_RETRY, "a savepoint was rolled back");
}

static bool begin_block(struct stream *stream, const struct pgoutput_message *message,
                        struct err *err)
{
    struct ahead_signal *signal = stream->options.ahead;
    bool is_new = message->is_first && !stream->ahead_xid && atomic_load(&signal->is_wanted) &&
                  stream->message_lsn > atomic_load(&signal->from_lsn);
    if (!is_new && message->xid != stream->ahead_xid)
        return streamed_start(stream->streamed, message->xid, message->is_first, err);
    if (!is_new && message->is_first)
        return err_set(err, ERR_FATAL,
                       "source: transaction %u is streamed from its beginning twice", message->xid);
    if (!refuse_partial(stream, err))
        return false;
    if (is_new)
        metrics_add(stream->options.metrics, METRIC_STREAMED_TRANSACTIONS, 1);
    stream->ahead_xid = message->xid;
    stream->is_ahead = true;
    stream->is_old = false;
    stream->commit_lsn = 0;
    if (stream->message_lsn > atomic_load(&signal->read_lsn))
        atomic_store(&signal->read_lsn, stream->message_lsn);
    batch_append(stream->filling, CHANGE_STREAM_START)->xid = message->xid;
    return true;
}

static void end_block(struct stream *stream)
{
    if (stream->is_ahead)
        (void)batch_append(stream->filling, CHANGE_STREAM_STOP);
    else
        streamed_stop(stream->streamed);
    stream->is_ahead = false;
}

static bool commit_ahead(struct stream *stream, const struct pgoutput_message *message,
                         struct err *err)
{
    if (message->lsn < stream->after)
        return err_set(err, ERR_FATAL, "source: transaction %u is streamed and ends in the past",
                       message->xid);
    if (!refuse_partial(stream, err))
        return false;
    adopt_relations(stream);
    end_ahead(stream);
    struct change *change = batch_append(stream->filling, CHANGE_STREAM_COMMIT);
    change->lsn = message->lsn;
    change->end_lsn = message->end_lsn;
    change->time_us = message->time_us;
    note_received(stream, message->end_lsn);
    return true;
}

/* Before the end of a transaction that was rolled back whole come those of its subtransactions. */
static void abort_ahead(struct stream *stream, const struct pgoutput_message *message)
{
    if (!stream->is_ahead_partial)
        (void)batch_append(stream->filling, CHANGE_STREAM_ABORT);
    stream->is_ahead_partial = true;
    if (message->subxid == message->xid)
        end_ahead(stream);
}

static bool take_streamed(struct stream *stream, const struct pgoutput_message *message,
                          struct err *err)
{
    if (!stream->streamed)
        return not_asked_for(message, err);
    if (stream->is_in_transaction)
        return err_set(err, ERR_FATAL, "source: message '%c' inside a transaction",
                       (char)message->kind);
    bool is_ahead = message->xid == stream->ahead_xid;
    if (message->kind == PGOUTPUT_STREAM_START)
        return begin_block(stream, message, err);
    if (message->kind == PGOUTPUT_STREAM_COMMIT)
        return is_ahead ? commit_ahead(stream, message, err) : begin_replay(stream, message, err);
    if (message->kind == PGOUTPUT_STREAM_ABORT && is_ahead)
        abort_ahead(stream, message);
    else if (message->kind == PGOUTPUT_STREAM_ABORT)
        streamed_abort(stream->streamed, message->xid, message->subxid);
    else
        end_block(stream);
    return true;
}

static bool take_decoded(struct stream *stream, struct pgoutput_decoder *decoder, const char *data,
                         size_t len, struct err *err);

/* One message of what was kept, or the end. */
static bool replay(struct stream *stream, struct err *err)
{
    const char *data = NULL;
    size_t len = 0;
    struct pgoutput_decoder decoder = stream->decoder;
    decoder.is_in_stream = true;
    if (!streamed_next(stream->streamed, &data, &len, err))
        return false;
    if (data)
        return len == 0 || take_decoded(stream, &decoder, data, len, err);
    stream->is_replaying = false;
    return add_commit(stream, &stream->replayed, err);
}

/* Keeps what is in memory within its bound. A disk that is full is waited for: said once, and again
 * when it is over. */
static bool settle(struct stream *stream, struct err *err)
{
    if (!stream->streamed)
        return true;
    if (streamed_settle(stream->streamed, err)) {
        if (stream->has_no_room)
            log_info("there is room again for transactions in progress: reading goes on");
        stream->has_no_room = false;
        return true;
    }
    if (!spill_is_full(err))
        return false;
    if (!stream->has_no_room)
        log_warn("nothing is read from the source until there is room: %s", err->text);
    stream->has_no_room = true;
    stream->room_ms = clock_ms();
    *err = (struct err){0};
    return true;
}

/* --- messages, by their kind --- */

static bool take_decoded(struct stream *stream, struct pgoutput_decoder *decoder, const char *data,
                         size_t len, struct err *err)
{
    struct pgoutput_message message = {0};
    arena_reset(stream->scratch);
    if (!pgoutput_decode(decoder, data, len, stream->scratch, &message, err))
        return false;
    switch (message.kind) {
    case PGOUTPUT_BEGIN:
        return add_begin(stream, &message, err);
    case PGOUTPUT_COMMIT:
        return add_commit(stream, &message, err);
    case PGOUTPUT_RELATION:
        return learn_relation(stream, &message, err);
    case PGOUTPUT_INSERT:
        return add_row(stream, CHANGE_INSERT, &message, err);
    case PGOUTPUT_UPDATE:
        return add_row(stream, CHANGE_UPDATE, &message, err);
    case PGOUTPUT_DELETE:
        return add_row(stream, CHANGE_DELETE, &message, err);
    case PGOUTPUT_TRUNCATE:
        return add_truncate(stream, &message, err);
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
    case PGOUTPUT_MESSAGE:
        return true;
    case PGOUTPUT_STREAM_START:
    case PGOUTPUT_STREAM_STOP:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        return take_streamed(stream, &message, err);
    case PGOUTPUT_BEGIN_PREPARE:
    case PGOUTPUT_PREPARE:
    case PGOUTPUT_COMMIT_PREPARED:
    case PGOUTPUT_ROLLBACK_PREPARED:
    case PGOUTPUT_STREAM_PREPARE:
        return not_asked_for(&message, err);
    }
    return not_asked_for(&message, err);
}

/* What cannot be handed out ahead may well be right once it has committed. */
static bool take_ahead(struct stream *stream, const char *data, size_t len, struct err *err)
{
    if (take_decoded(stream, &stream->decoder, data, len, err))
        return true;
    if (err->kind == ERR_STOP)
        return false;
    stream->needs_text = false;
    atomic_store(&stream->options.ahead->has_failed, true);
    err->kind = ERR_RETRY;
    return false;
}

/* Inside a block of a transaction in progress that is kept nothing is looked at but its end. */
static bool take_message(struct stream *stream, const char *data, size_t len, struct err *err)
{
    if (stream->is_ahead)
        return take_ahead(stream, data, len, err);
    if (!stream->decoder.is_in_stream || (len > 0 && data[0] == PGOUTPUT_STREAM_STOP))
        return take_decoded(stream, &stream->decoder, data, len, err);
    return streamed_add(stream->streamed, data, len, err) && settle(stream, err);
}

static bool take_keepalive(struct stream *stream, const struct replication_message *message,
                           struct err *err)
{
    if (!stream->is_in_transaction && !stream->decoder.is_in_stream) {
        note_received(stream, message->wal_end);
        const struct change *last = batch_last(stream->filling);
        struct change *idle = NULL;
        if (last && last->kind == CHANGE_IDLE)
            idle = (struct change *)(uintptr_t)last; /* still ours: not published */
        else
            idle = batch_append(stream->filling, CHANGE_IDLE);
        idle->end_lsn = MAX_OF(idle->end_lsn, message->wal_end);
    }
    return !message->wants_reply || report(stream, false, err);
}

/* --- the seam --- */

/* The next message from the socket. */
static bool receive(struct stream *stream, int timeout_ms, bool *ret_came, struct err *err)
{
    struct replication_message message = {0};
    if (!replication_receive(stream->conn, timeout_ms, &message, err))
        return false;
    *ret_came = message.kind != REPLICATION_NOTHING;
    stream->message_lsn = message.lsn;
    if (message.kind == REPLICATION_DATA)
        return take_message(stream, message.data, message.len, err);
    return message.kind != REPLICATION_KEEPALIVE || take_keepalive(stream, &message, err);
}

/* Waits until there is room for what was read already, or the time is over. */
static bool await_room(struct stream *stream, int timeout_ms, struct err *err)
{
    int64_t left_ms = stream->room_ms + ROOM_MS - clock_ms();
    if (left_ms > 0 && !stop_wait(stream->options.stop, (int)MIN_OF(left_ms, timeout_ms)))
        left_ms = stream->room_ms + ROOM_MS - clock_ms();
    return left_ms > 0 || settle(stream, err);
}

/* Whether a batch goes out as it is: when it is full, and before a block of a transaction in
 * progress that is kept, for which commits need not wait. */
static bool is_ripe(const struct stream *stream)
{
    return batch_bytes(stream->filling) >= stream->options.batch_bytes ||
           (stream->decoder.is_in_stream && !stream->is_ahead && batch_first(stream->filling));
}

/* One message, from the socket or from what was kept. */
static bool step(struct stream *stream, int timeout_ms, bool *ret_came, struct err *err)
{
    *ret_came = true;
    if (stream->is_replaying)
        return replay(stream, err);
    if (stream->has_no_room) {
        if (!await_room(stream, timeout_ms, err))
            return false;
        *ret_came = !stream->has_no_room;
        return true;
    }
    return receive(stream, timeout_ms, ret_came, err);
}

static bool stream_next(struct feed *feed, int timeout_ms, struct batch **ret_batch,
                        struct err *err)
{
    struct stream *stream = stream_of(feed);
    int64_t end_ms = clock_ms() + timeout_ms;
    bool has_come = true;
    *ret_batch = NULL;
    if (!stream->filling)
        stream->filling = batch_new();
    if (stream->is_replaying && !fault_point("stream.replay", err))
        return false;
    for (unsigned count = 0; has_come && !is_ripe(stream); count++) {
        bool is_empty = !batch_first(stream->filling);
        if (is_empty || count % TEND_EVERY == 0) {
            if (clock_ms() >= end_ms)
                break;
            if (!stream_tend(feed, err))
                return false;
        }
        bool is_inside = stream->is_in_transaction || stream->is_ahead;
        int wait_ms = is_inside ? REST_MS : 0; /* parts of a transaction wake the applier */
        if (!step(stream, is_empty ? timeout_ms : MIN_OF(wait_ms, timeout_ms), &has_come, err))
            return false;
    }
    if (batch_first(stream->filling))
        *ret_batch = TAKE(stream->filling);
    return !*ret_batch || fault_point("stream.batch", err);
}

static bool stream_open(struct feed *feed, const struct position *after, struct err *err)
{
    struct stream *stream = stream_of(feed);
    struct start_result started = {0};
    stream->after = after->lsn;
    atomic_store(&stream->durable, 0); /* nothing is reported before the target confirms it */
    struct spill_options spill = {.dir = stream->options.spill_dir,
                                  .memory_bytes = stream->options.spill_memory,
                                  .metrics = stream->options.metrics};
    if ((stream->options.is_streaming && !streamed_open(&spill, &stream->streamed, err)) ||
        !start_replication(&stream->options, after->lsn, &started, err))
        return false;
    stream->conn = started.conn;
    stream->types = started.types;
    stream->is_binary = started.is_binary;
    stream->timeline = started.timeline;
    stream->decoder = (struct pgoutput_decoder){.protocol = started.protocol};
    stream->received = after->lsn;
    return report(stream, true, err) && fault_point("follow.start", err);
}

static void stream_free(struct feed **feed)
{
    struct stream *stream = stream_of(*feed);
    struct err unused = {0};
    if (stream->conn && atomic_load(&stream->durable) > stream->reported)
        (void)report(stream, false, &unused); /* what the source need not send again */
    forget_relations(&stream->relations);
    forget_relations(&stream->ahead_relations);
    batch_unref(&stream->filling);
    streamed_free(&stream->streamed);
    arena_free(&stream->scratch);
    types_free(&stream->types);
    conn_free(&stream->conn);
    free(stream);
    *feed = NULL;
}

struct feed *stream_new(const struct stream_options *options)
{
    static const struct feed_ops ops = {
        .open = stream_open,
        .next = stream_next,
        .tend = stream_tend,
        .confirm = stream_confirm,
        .free = stream_free,
    };
    struct stream *stream = mem_alloc(sizeof(*stream));
    stream->feed.ops = &ops;
    stream->options = *options;
    stream->scratch = arena_new();
    return &stream->feed;
}

bool stream_needs_text(const struct feed *feed)
{
    return ((const struct stream *)feed)->needs_text;
}

uint32_t stream_timeline(const struct feed *feed)
{
    return ((const struct stream *)feed)->timeline;
}
