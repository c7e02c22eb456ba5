/* The streaming replication protocol, logical side, on a connection opened as replication.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

struct replication_system {
    char *system_id; /* owned */
    uint32_t timeline;
    uint64_t flush_lsn;
    char *dbname; /* owned */
};

void replication_system_release(struct replication_system *system);
bool replication_identify(struct conn *conn, struct replication_system *ret_system,
                          struct err *err);

/* CREATE_REPLICATION_SLOT … LOGICAL pgoutput. With exports, the snapshot lives until the next
 * command on this connection or its end; *ret_snapshot is owned by the caller. Too many running
 * subtransactions for an export: ERR_RETRY with SQLSTATE 40001. */
bool replication_create_slot(struct conn *conn, const char *slot, bool exports,
                             uint64_t *ret_consistent, char **ret_snapshot, struct err *err);

/* START_REPLICATION SLOT slot LOGICAL lsn (options). */
bool replication_start(struct conn *conn, const char *slot, uint64_t lsn, const char *options,
                       struct err *err);

enum replication_kind {
    REPLICATION_NOTHING, /* nothing within the timeout */
    REPLICATION_DATA,
    REPLICATION_KEEPALIVE,
};

struct replication_message {
    enum replication_kind kind;
    uint64_t lsn;     /* data: of the change that it says */
    uint64_t wal_end; /* keepalive: the server's sent position */
    bool wants_reply; /* keepalive */
    const char *data; /* data: the plugin's message. Borrowed until the next call */
    size_t len;
};

/* Waits up to timeout_ms (0: not at all). The stream's end is ERR_RETRY. A WARNING of the server
 * that rows are being left out (SQLSTATE 55000: the publication is missing) is ERR_FATAL.
 * A walsender sends each message by itself, and to wake a reader for each costs it more than the
 * decoding. So behind many short waits the socket wakes us for many bytes only, or after 2 ms
 * (SO_RCVLOWAT, see socket(7); a socket that does not know it wakes us as before). */
bool replication_receive(struct conn *conn, int timeout_ms, struct replication_message *ret_message,
                         struct err *err);

/* Standby status update. */
bool replication_status(struct conn *conn, uint64_t written, uint64_t flushed, bool wants_reply,
                        struct err *err);
