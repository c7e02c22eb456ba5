/* Starting replication from a slot, with every check that the server itself leaves out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"
#include "pg/types.h"
#include "source/stream.h"

struct start_result {
    struct conn *conn;   /* owned by the caller: streaming */
    struct types *types; /* owned by the caller; NULL: all that is published is plain */
    bool is_binary;
    int protocol;
    uint32_t timeline;
};

/* The server moves a start position below confirmed_flush up without a word, and accepts one
 * beyond its end of WAL and skips what comes until then. So before and after START_REPLICATION
 * the slot, the system identifier, the timeline and the positions are compared; what is lost is
 * named in the error (ERR_CONFIG: only people can mend it). */
bool start_replication(const struct stream_options *options, uint64_t after,
                       struct start_result *ret_result, struct err *err);

/* The types, when one that is not plain turns up later. */
bool start_types(const struct stream_options *options, struct types **ret_types, struct err *err);

/* What became of the timeline that the pipeline's positions belong to. */
struct source_history {
    uint32_t timeline; /* the source's present one */
    uint64_t left;     /* where its history left options->timeline; UINT64_MAX: it is on it still */
};

/* The same checks without a stream, for a copy that goes on: the slot must still be there, and
 * what the target has applied be part of the source's history. What it has copied beyond `left`
 * is not. */
bool start_look(const struct stream_options *options, uint64_t after,
                struct source_history *ret_history, struct err *err);
