/* `trunkline status`: what a pipeline is doing, as the two servers know it. It asks nothing of the
 * engine, changes nothing, and takes no lock on a user's table: it never waits behind what it
 * reports. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/strv.h"
#include "conf/settings.h"
#include "keeper/keeper.h"
#include "keeper/park.h"
#include "source/slot.h"
#include "status/waits.h"

/* A server, as far as it answered. */
struct status_server {
    bool is_given;
    bool is_reached; /* and has told all that was asked */
    char *url;       /* owned; without password */
    int version;     /* 150020; 0: unknown */
};

enum status_table_state {
    TABLE_PLANNED,      /* published, not copied yet */
    TABLE_COPYING,      /* some of its parts are done */
    TABLE_COPIED,       /* waits for the stream to pass its end position */
    TABLE_FOLLOWING,    /* its changes are applied */
    TABLE_INSERT_ONLY,  /* the same; UPDATEs and DELETEs are not published */
    TABLE_PARKED,       /* a change could not be applied: its changes are left out */
    TABLE_RESYNCING,    /* being copied anew; until it joins it stays as it was */
    TABLE_UNLOGGED,     /* its changes are not in the WAL: once copied it stays as it was */
    TABLE_NOT_FOLLOWED, /* it matches the patterns, but no publication of ours carries it */
    TABLE_PUBLISHED,    /* what the target has of it is not known */
    TABLE_GONE,         /* copied once; the source has it no more */
};

struct status_table {
    char *schema; /* owned */
    char *name;   /* owned */
    enum status_table_state state;
    int64_t parts; /* 0: not planned */
    int64_t parts_done;
    int64_t rows; /* of the parts done */
    int64_t bytes;
};

struct status {
    const struct settings *settings; /* borrowed */
    char *slot_name;                 /* owned, as all text here */
    char *publication;
    struct status_server source;
    struct status_server target;

    struct slot_state slot;
    bool has_publication;
    uint64_t end;           /* the source's end of WAL; 0: unknown */
    int64_t held_bytes;     /* WAL that the slot holds back */
    int64_t snapshot_age_s; /* of the snapshot that the copy holds; negative: none is held */
    int snapshot_pid;

    bool has_keeper; /* the target's keeper knows this pipeline: pipeline and engine are set */
    char *keeper_schema;
    struct keeper_pipeline pipeline;
    struct keeper_holder engine; /* pid 0: no engine runs */
    uint64_t consistent_from;    /* from here on the target is a state of the source; 0: unknown */
    char *inconsistent;          /* owned; why it is none yet, NULL: it is, or nobody knows */

    const char *phase;  /* see status_phase() */
    int64_t lag_bytes;  /* negative: unknown */
    double lag_seconds; /* negative: unknown */
    struct status_table *tables;
    size_t table_count;
    struct keeper_parked_list parked;
    struct wait_list waits;
    struct strv problems; /* each makes the exit code 1 */
    struct strv warnings;
};

/* Asks both servers. What cannot be read becomes a problem; false (ERR_CONFIG) only when the
 * settings themselves make no sense. Release it in any case. */
bool status_read(const struct settings *settings, struct status *ret, struct err *err) MUST_USE;
void status_release(struct status *status); /* AUTO handler */

/* The age from which a held snapshot is warned of: it keeps vacuum from cleaning up. */
enum { STATUS_SNAPSHOT_OLD_S = 3600 };

/* Works out phase, lag, problems and warnings from what was read. */
void status_judge(struct status *status);

/* "following": for programs. */
const char *status_state_name(enum status_table_state state);

void status_print(const struct status *status, FILE *out);
void status_print_json(const struct status *status, FILE *out);
