/* Records of bytes set aside in their order: in memory first, then in a file that nobody else sees.
 *
 * Invariants: what is read is what was appended, in that order, byte by byte, or an error: blocks
 * in a file carry their length and a checksum. No file has a name (O_TMPFILE, or unlinked at once),
 * so none outlives the process, however it ends; what was set aside is never needed by the next
 * one. All spills of a store together hold no more memory than its bound and one record, as long
 * as spill_store_settle() is called between records and succeeds.
 * Owner: one thread, for a store and all its spills. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "metrics/metrics.h"

struct spill_store; /* the memory that several spills share, and the directory of their files */
struct spill;       /* one sequence of records */

struct spill_options {
    const char *dir;         /* borrowed; NULL or "": TMPDIR, else /var/tmp */
    size_t memory_bytes;     /* of all spills together; less than 256 KiB counts as that */
    struct metrics *metrics; /* borrowed; or NULL */
};

/* A directory in which no file can be made is ERR_CONFIG here, not when memory is short. */
bool spill_store_open(const struct spill_options *options, struct spill_store **ret_store,
                      struct err *err);

/* AUTO handler. Its spills have been freed before. */
void spill_store_free(struct spill_store **store);

/* Where its files are. Borrowed. */
const char *spill_store_dir(const struct spill_store *store);

/* Keeps the bound: while there is too much in memory, the largest spill goes to its file. When the
 * disk is full, spill_is_full(err) is true (its kind is ERR_RETRY): nothing is lost, the records
 * stay in memory, and it may be called again later. A second spill is not tried then. */
bool spill_store_settle(struct spill_store *store, struct err *err);
bool spill_is_full(const struct err *err);

/* purpose: what the records are, for errors ("transaction 4711"); copied. */
struct spill *spill_new(struct spill_store *store, const char *purpose);
void spill_free(struct spill **spill); /* AUTO handler; memory and file are given back */

/* Puts a record behind the others, in memory: never fails. Also allowed between reads. */
void spill_append(struct spill *spill, const void *data, size_t len);

/* Takes the next record away. *ret_data is NULL when there is none; else it is the caller's to
 * read until the next call for this spill. A damaged file is ERR_FATAL. */
bool spill_next(struct spill *spill, const char **ret_data, size_t *ret_len, struct err *err);
