/* Decoder of pgoutput messages, protocol versions 1 to 4: one message in, one struct out.
 *
 * Source: PostgreSQL documentation, "Logical Replication Message Formats" and "Logical Streaming
 * Replication Parameters". The bytes come from another server: every length is checked before
 * use, a message that is too short, too long or absurd is ERR_FATAL, never a crash.
 * Owner: the thread that calls it; the decoder keeps only whether it is inside a stream block. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "change/value.h"

enum pgoutput_kind {
    PGOUTPUT_BEGIN = 'B',
    PGOUTPUT_COMMIT = 'C',
    PGOUTPUT_ORIGIN = 'O',
    PGOUTPUT_RELATION = 'R',
    PGOUTPUT_TYPE = 'Y',
    PGOUTPUT_INSERT = 'I',
    PGOUTPUT_UPDATE = 'U',
    PGOUTPUT_DELETE = 'D',
    PGOUTPUT_TRUNCATE = 'T',
    PGOUTPUT_MESSAGE = 'M',
    PGOUTPUT_STREAM_START = 'S',
    PGOUTPUT_STREAM_STOP = 'E',
    PGOUTPUT_STREAM_COMMIT = 'c',
    PGOUTPUT_STREAM_ABORT = 'A',
    PGOUTPUT_BEGIN_PREPARE = 'b',
    PGOUTPUT_PREPARE = 'P',
    PGOUTPUT_COMMIT_PREPARED = 'K',
    PGOUTPUT_ROLLBACK_PREPARED = 'r',
    PGOUTPUT_STREAM_PREPARE = 'p',
};

struct pgoutput_column {
    const char *name; /* borrowed: the arena */
    uint32_t type_oid;
    int32_t typmod;
    bool is_key; /* part of the replica identity */
};

/* The old row's form in UPDATE and DELETE. */
enum pgoutput_old { PGOUTPUT_OLD_NONE, PGOUTPUT_OLD_KEY, PGOUTPUT_OLD_FULL };

struct pgoutput_message {
    enum pgoutput_kind kind;
    uint32_t xid;    /* top-level id for Begin, Stream Start/Commit/Abort and the prepared kinds;
                        inside a stream block, of the others: the (sub)transaction's own id */
    uint32_t subxid; /* Stream Abort: the aborted (sub)transaction */
    bool has_xid;
    /* Begin: LSN of the commit record. Commit, Stream Commit, Commit Prepared: the same. Begin
     * Prepare, Prepare, Stream Prepare: LSN of the prepare record. Rollback Prepared: its end.
     * Origin, Message: its LSN. Stream Abort with parallel streaming: LSN of the abort, else 0. */
    uint64_t lsn;
    uint64_t end_lsn;        /* end of the commit, prepare or rollback record; else 0 */
    int64_t time_us;         /* since 2000-01-01; of the commit, prepare, rollback or abort */
    int64_t prepare_time_us; /* Rollback Prepared */
    bool is_first;           /* Stream Start: first segment of this transaction */

    uint32_t relation_oid; /* Relation, Insert, Update, Delete; Type: the type's OID */
    const char *nspname;   /* Relation, Type; "" means pg_catalog. Borrowed: the arena */
    const char *relname; /* Relation, Type: name. Origin, Message: name or prefix; prepared: gid */
    char replica_identity; /* 'd', 'n', 'f', 'i' */
    uint16_t column_count;
    struct pgoutput_column *columns;

    enum pgoutput_old old_kind;
    struct tuple old; /* values of non-key columns are VALUE_NULL in PGOUTPUT_OLD_KEY;
                         never VALUE_UNCHANGED */
    struct tuple new; /* values borrow from the message bytes. VALUE_UNCHANGED may stand in an
                         Insert too: a row filter turns an update that moves a row into view
                         into an insert */

    uint32_t truncate_count;
    uint32_t *truncate_oids;
    bool truncate_cascade;
    bool truncate_restart_identity;

    bool is_transactional; /* Message */
    const char *content;   /* Message; borrowed: the message bytes */
    uint32_t content_len;
};

struct pgoutput_decoder {
    int protocol;      /* 1 to 4, as asked of the server */
    bool is_parallel;  /* streaming = parallel: Stream Abort carries LSN and time */
    bool is_in_stream; /* between Stream Start and Stream Stop */
};

/* Decodes one message. Values borrow from data; everything else lives in arena. On failure
 * ret_message is not to be used. */
bool pgoutput_decode(struct pgoutput_decoder *decoder, const char *data, size_t len,
                     struct arena *arena, struct pgoutput_message *ret_message, struct err *err);
