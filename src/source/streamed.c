/* Transactions in progress, by their top-level id. See streamed.h.
 *
 * Each is one spill of raw pgoutput messages. Inside a block every message begins with the id of
 * its own (sub)transaction. Subtransactions that were rolled back are noted by id and left out when
 * the transaction is replayed; ids are noted as bits, because a client that works with savepoints
 * takes hundreds of thousands of them, and mostly neighbouring ones.
 * Descriptions of relations are messages like others: the server sends them again after each
 * rollback of a subtransaction, so one that goes with it is not missed. Stream reader's thread. */
#include "source/streamed.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "source/pgoutput.h"

enum { ID_AT = 1, ID_END = ID_AT + sizeof(uint32_t), SPAN = 256, WORD = 64 };

struct span { /* of ids */
    uint32_t number;
    uint64_t bits[SPAN / WORD];
    UT_hash_handle hh;
};

struct transaction {
    uint32_t xid;
    struct spill *spill;
    struct span *aborted;
    UT_hash_handle hh;
};

struct streamed {
    struct spill_store *store;
    struct transaction *transactions;
    struct transaction *open;      /* borrowed: the one whose block comes in */
    struct transaction *replaying; /* owned */
    struct metrics *metrics;       /* borrowed */
};

/* --- ids that were rolled back --- */

static void note_aborted(struct transaction *transaction, uint32_t xid)
{
    uint32_t number = xid / SPAN;
    struct span *span = NULL;
    HASH_FIND(hh, transaction->aborted, &number, sizeof(number), span);
    if (!span) {
        span = mem_alloc(sizeof(*span));
        span->number = number;
        HASH_ADD(hh, transaction->aborted, number, sizeof(number), span);
    }
    span->bits[xid % SPAN / WORD] |= UINT64_C(1) << xid % WORD;
}

static bool is_aborted(const struct transaction *transaction, uint32_t xid)
{
    uint32_t number = xid / SPAN;
    struct span *span = NULL;
    HASH_FIND(hh, transaction->aborted, &number, sizeof(number), span);
    return span && (span->bits[xid % SPAN / WORD] >> xid % WORD & 1) != 0;
}

/* --- transactions --- */

static void transaction_free(struct transaction **transaction)
{
    struct transaction *t = TAKE(*transaction);
    struct span *span, *next;
    if (!t)
        return;
    HASH_ITER (hh, t->aborted, span, next) {
        HASH_DEL(t->aborted, span);
        free(span);
    }
    spill_free(&t->spill);
    free(t);
}

static struct transaction *find(const struct streamed *streamed, uint32_t xid)
{
    struct transaction *transaction = NULL;
    HASH_FIND(hh, streamed->transactions, &xid, sizeof(xid), transaction);
    return transaction;
}

static struct transaction *begin(struct streamed *streamed, uint32_t xid)
{
    struct transaction *transaction = mem_alloc(sizeof(*transaction));
    AUTO(str_free) char *purpose = str_fmt("transaction %u (in progress)", xid);
    transaction->xid = xid;
    transaction->spill = spill_new(streamed->store, purpose);
    HASH_ADD(hh, streamed->transactions, xid, sizeof(xid), transaction);
    metrics_add(streamed->metrics, METRIC_STREAMED_TRANSACTIONS, 1);
    return transaction;
}

bool streamed_start(struct streamed *streamed, uint32_t xid, bool is_first, struct err *err)
{
    struct transaction *transaction = find(streamed, xid);
    if (is_first == (transaction != NULL))
        return err_set(err, ERR_FATAL,
                       is_first ? "source: transaction %u is streamed from its beginning twice"
                                : "source: the beginning of streamed transaction %u never came",
                       xid);
    streamed->open = transaction ? transaction : begin(streamed, xid);
    return true;
}

bool streamed_add(struct streamed *streamed, const char *data, size_t len, struct err *err)
{
    if (len > 0 && data[0] == PGOUTPUT_ORIGIN) /* says nothing that is used, and has no id */
        return true;
    if (len < ID_END || !memchr("RYIUDTM", data[0], 7))
        return err_set(err, ERR_FATAL,
                       "malformed pgoutput message in a stream block: kind 0x%02x, %zu bytes",
                       len > 0 ? (unsigned char)data[0] : 0, len);
    spill_append(streamed->open->spill, data, len);
    return true;
}

void streamed_stop(struct streamed *streamed)
{
    streamed->open = NULL;
}

void streamed_abort(struct streamed *streamed, uint32_t xid, uint32_t subxid)
{
    struct transaction *transaction = find(streamed, xid);
    if (!transaction)
        return;
    if (xid != subxid) {
        note_aborted(transaction, subxid);
        return;
    }
    HASH_DEL(streamed->transactions, transaction);
    transaction_free(&transaction);
}

bool streamed_replay(struct streamed *streamed, uint32_t xid, struct err *err)
{
    struct transaction *transaction = find(streamed, xid);
    if (!transaction)
        return err_set(err, ERR_FATAL, "source: streamed transaction %u ends and never began", xid);
    HASH_DEL(streamed->transactions, transaction);
    streamed->replaying = transaction;
    return true;
}

bool streamed_next(struct streamed *streamed, const char **ret_data, size_t *ret_len,
                   struct err *err)
{
    uint32_t wire = 0;
    if (!spill_next(streamed->replaying->spill, ret_data, ret_len, err))
        return false;
    if (!*ret_data) {
        transaction_free(&streamed->replaying);
        return true;
    }
    memcpy(&wire, *ret_data + ID_AT, sizeof(wire));
    if (is_aborted(streamed->replaying, be32toh(wire)))
        *ret_len = 0;
    return true;
}

bool streamed_settle(struct streamed *streamed, struct err *err)
{
    return spill_store_settle(streamed->store, err);
}

bool streamed_open(const struct spill_options *options, struct streamed **ret_streamed,
                   struct err *err)
{
    AUTO(streamed_free) struct streamed *streamed = mem_alloc(sizeof(*streamed));
    streamed->metrics = options->metrics;
    if (!spill_store_open(options, &streamed->store, err))
        return false;
    *ret_streamed = TAKE(streamed);
    return true;
}

void streamed_free(struct streamed **streamed)
{
    struct streamed *s = TAKE(*streamed);
    struct transaction *transaction, *next;
    if (!s)
        return;
    HASH_ITER (hh, s->transactions, transaction, next) {
        HASH_DEL(s->transactions, transaction);
        transaction_free(&transaction);
    }
    transaction_free(&s->replaying);
    spill_store_free(&s->store);
    free(s);
}
