/* Changes on their way from a source to targets.
 *
 * A batch owns one arena; its changes, tuples and values live only there. While the feed fills it
 * one thread owns it; once published it is immutable and counted, so that several targets can
 * read it. A transaction may span batches; its changes stand between BEGIN and COMMIT. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "change/relation.h"
#include "change/value.h"

enum change_kind {
    CHANGE_BEGIN,
    CHANGE_COMMIT,
    CHANGE_INSERT,
    CHANGE_UPDATE,
    CHANGE_DELETE,
    CHANGE_TRUNCATE,
    CHANGE_IDLE, /* between transactions: everything before end_lsn has been delivered */

    /* A transaction in progress, handed out before it commits. Its pieces stand between START and
     * STOP, where others' transactions stand between BEGIN and COMMIT. */
    CHANGE_STREAM_START,
    CHANGE_STREAM_STOP,
    CHANGE_STREAM_COMMIT, /* all of it has come */
    CHANGE_STREAM_ABORT,  /* it was rolled back */
};

/* What an update or delete says about the old row. */
enum old_kind { OLD_NONE, OLD_KEY, OLD_FULL };

struct change {
    struct change *next; /* in the batch; NULL at its end */
    enum change_kind kind;

    const struct relation *relation; /* borrowed: the batch holds a reference */
    enum old_kind old_kind;
    struct tuple old; /* OLD_KEY: columns outside the key are NULL */
    struct tuple new;

    uint32_t xid;     /* BEGIN, STREAM_START: the top-level id */
    uint64_t lsn;     /* of the transaction's commit record; 0: not known yet. Not of IDLE */
    uint64_t end_lsn; /* COMMIT: the commit record's end. IDLE: see above */
    int64_t time_us;  /* COMMIT: since 2000-01-01 */

    const struct relation **truncated; /* borrowed, as relation */
    size_t truncated_count;
    bool restarts_identity;
};

struct batch;

struct batch *batch_new(void);
struct batch *batch_ref(struct batch *batch);
void batch_unref(struct batch **batch); /* AUTO handler; frees with the last reference */

/* Filling: by the owner, before it is published. */
struct change *batch_append(struct batch *batch, enum change_kind kind);
struct arena *batch_arena(struct batch *batch);

/* Keeps relation alive as long as the batch; returns it. */
const struct relation *batch_keep(struct batch *batch, const struct relation *relation);

/* Reading. */
const struct change *batch_first(const struct batch *batch);
const struct change *batch_last(const struct batch *batch);
size_t batch_count(const struct batch *batch);
size_t batch_bytes(const struct batch *batch);
