/* Where copied rows and changes go: the seam between the pipeline and any target.
 *
 * Invariant of every target: a part's rows and its record, a group's changes and its position are
 * one unit each, whatever dies when. Owner: one copier or one applier thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "change/batch.h"
#include "change/position.h"

struct target;

/* Bits of target->can. */
enum {
    CAN_TRANSACT = 1 << 0,
    CAN_DDL = 1 << 1,
    CAN_RAW_COPY = 1 << 2, /* takes the source's COPY bytes */
    CAN_KEEP_POSITION = 1 << 3,
};

/* A part of a table, ready to be copied. Texts are borrowed for the time of the calls. */
struct part_target {
    uint32_t table_oid; /* the source's: names the table in the part record */
    int number;
    const char *copy_sql; /* COPY … FROM STDIN */
    const char *snapshot; /* S and L of its table, to be recorded with it; NULL: they stand */
    uint64_t end_lsn;
};

/* Changes to apply together, in order. A source transaction larger than the bounds comes in
 * pieces: all but the last have is_complete false. BEGIN and COMMIT are not among them. */
struct group {
    const struct change *const *changes; /* borrowed from batches that outlive the call */
    size_t count;
    bool is_complete;         /* ends a source transaction: commit, at `position` */
    struct position position; /* valid when is_complete */
};

struct target_ops {
    unsigned can;

    /* The position that the data stands at. */
    bool (*load)(struct target *target, struct position *ret_applied, struct err *err);

    bool (*part_begin)(struct target *target, const struct part_target *part, struct err *err);
    bool (*part_rows)(struct target *target, const char *raw, size_t len, struct err *err);
    /* Rows and part record, one unit. */
    bool (*part_commit)(struct target *target, int64_t *ret_rows, struct err *err);
    /* Leaves the target ready for another part_begin(). */
    bool (*part_abort)(struct target *target, struct err *err);

    /* Data and position, one unit when complete. After a failure the unit is rolled back, and
     * the target is good for free() only. */
    bool (*apply)(struct target *target, const struct group *group, struct err *err);

    /* Two targets of one kind work on one pipeline, one after the other: from here on this one
     * stands where the other has come to, and what the other has committed becomes durable here. */
    void (*succeed)(struct target *target, struct target *other);

    /* What is durable, waiting up to timeout_ms when something committed is not yet. */
    bool (*flushed)(struct target *target, int timeout_ms, struct position *ret_durable,
                    struct err *err);

    void (*free)(struct target **target);
};

/* First member of every target. */
struct target {
    const struct target_ops *ops;
};
