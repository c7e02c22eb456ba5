/* The pipeline that keeps the target up to date while it is compared: whether its engine runs, and
 * how far the target is. Only looks; on the pair's connections. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "keeper/keeper.h"
#include "verify/pair.h"

struct follower {
    struct pair *pair;  /* borrowed */
    const char *schema; /* borrowed: the keeper's */
    char *slot;         /* owned; NULL: no pipeline follows this source to this target */
    struct keeper_tables tables;
    uint64_t consistent_from;                 /* 0: its copy is not complete */
    uint64_t position;                        /* as last read */
    bool was_at_work;                         /* an engine was, since follower_open() */
    bool is_hidden;                           /* a keeper is there, but the role may not read it */
    void (*tell)(void *told, int64_t behind); /* called once a second of waiting; or NULL */
    void *told;                               /* borrowed */
    const char *gave_up; /* why the last wait ended without its goal; NULL: it did not */
};

#define FOLLOWER_INIT ((struct follower){0})

/* Reads the keeper; one that cannot be read is none. pair and schema must outlive it. */
void follower_open(struct pair *pair, const char *schema, struct follower *ret_follower);
void follower_release(struct follower *follower); /* AUTO handler */

/* Whether an engine is at work, and why the table cannot be compared yet, or any more, for people
 * (constant; NULL: it can). Reads position and consistent_from anew. */
bool follower_look(struct follower *follower, uint32_t table_oid, bool *ret_runs,
                   const char **ret_lack, struct err *err) MUST_USE;

/* Why the table's changes are left out, for people (constant; NULL: they are not): there is nothing
 * to compare then. */
bool follower_parked(struct follower *follower, uint32_t table_oid, const char **ret_why,
                     struct err *err) MUST_USE;

/* When no engine is at work: how far the target is behind; or why it is not known whether one is.
 * For people; owned by the caller, NULL when there is nothing to say. */
char *follower_behind(const struct follower *follower);

/* SQL: the position, on the target. Owned by the caller. */
char *follower_position_sql(const struct follower *follower);

/* Waiting for the target to pass a position of the source. */
struct passing {
    uint64_t goal;
    uint64_t position;
    int64_t moved_at_ms;
    int64_t looked_at_ms;
    int64_t seen_at_ms; /* when an engine was at work for certain */
    int delay_ms;
};

/* The goal is the source's end of WAL now. */
bool passing_begin(struct follower *follower, struct passing *ret_passing,
                   struct err *err) MUST_USE;

/* Takes the position just read. Pauses, when it is not there yet; *ret_goes_on is false when it is,
 * or when it makes no sense to wait longer: then follower->gave_up says why. */
bool passing_pause(struct follower *follower, struct passing *passing, uint64_t position,
                   bool *ret_goes_on, struct err *err) MUST_USE;

/* Waits with queries of its own. */
bool follower_pass(struct follower *follower, struct err *err) MUST_USE;
