/* The feed that reads pgoutput from a replication slot. Owner: stream reader thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "metrics/metrics.h"
#include "source/feed.h"

/* A source that shuts down takes no new sessions, and waits for its walsenders until all is sent
 * and confirmed. */
enum source_stay {
    SOURCE_STAYS,
    SOURCE_LEAVES, /* confirm at once what can be */
    SOURCE_LET_GO, /* it has waited long enough: its slot keeps what is left */
};

/* Whether a transaction may be handed out before its commit (CHANGE_STREAM_START), from its first
 * piece on; one at a time. Shared by reader and applier. */
struct ahead_signal {
    atomic_bool is_wanted;
    atomic_bool has_failed; /* it cannot go on: the feed, opened anew, must keep it until its end */
    atomic_uint_fast64_t
        from_lsn; /* one that began before is kept: it may be the one that failed */
    atomic_uint_fast64_t read_lsn; /* the newest block that was handed out */
};

struct stream_options { /* everything borrowed, outlives the feed */
    const char *url;
    const char *slot;
    const char *publication;
    const char *inserts_publication; /* of tables without identity; NULL: there is none */
    const char *application_name;
    const char *name_prefix; /* of our own sessions: one that still uses the slot is ended */
    const char *system_id;   /* of the cluster that the position belongs to */
    uint32_t timeline;       /* likewise */
    uint64_t copied_lsn;     /* the newest end of what was copied; 0: nothing */
    int target_version;      /* decides which types travel as text */
    bool wants_text;         /* some target column's type differs: values as text */
    int64_t work_mem;        /* logical_decoding_work_mem of our walsender; 0: the server's own */
    bool is_streaming;       /* transactions in progress are sent */
    size_t spill_memory;     /* of those: kept in memory, then in files of spill_dir */
    const char *spill_dir;   /* "": TMPDIR, else /var/tmp */
    size_t batch_bytes;      /* a batch is published when it has grown so large */
    int connect_timeout_ms;
    int tcp_user_timeout_ms;
    const struct stop *stop; /* ends every wait */
    const atomic_int *stay;  /* enum source_stay; LET_GO ends the stream */
    struct ahead_signal *ahead;
    struct metrics *metrics;
};

struct feed *stream_new(const struct stream_options *options);

/* After a failed next(): a type turned up that must travel as text; the next feed must be told. */
bool stream_needs_text(const struct feed *feed);

/* After open(): the source's present timeline. */
uint32_t stream_timeline(const struct feed *feed);
