/* The keeper's part on the source: what `init` makes there, in a schema with our mark.
 *
 * It holds the pipelines that were initialised (each with an id that the target's position
 * carries), the tables whose replica identity we have changed, and the history of schema changes.
 * It may share the schema with the state of a pipeline whose target this database is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keeper/keeper.h"
#include "pg/conn.h"

enum { SOURCE_KEEPER_VERSION = 1 };

struct source_pipeline {
    char *schema; /* owned, as all text here; where it was found */
    char *id;
    char *slot;
    char *publication;
    char *target;           /* "system identifier/database" that follows it; NULL: none yet */
    uint64_t published_lsn; /* the publications were there from here on */
};

void source_pipeline_release(struct source_pipeline *pipeline);

/* Makes schema and tables, or brings them up to date; one transaction, idempotent. A schema of
 * that name that is not ours: ERR_CONFIG. */
bool source_keeper_make(struct conn *source, const char *schema, struct err *err);

/* Looks for the pipeline of that slot, in the preferred schema first, then in all that bear our
 * mark (init may have been called by our other name). */
bool source_keeper_find(struct conn *source, const struct keeper_ref *ref, bool *ret_found,
                        struct source_pipeline *ret_pipeline, struct err *err);

/* Records a pipeline; one that is there stays as it is, but for a published_lsn that is not known
 * (0), or whose publication was made anew. */
bool source_keeper_add(struct conn *source, const struct keeper_ref *ref, const char *publication,
                       uint64_t published_lsn, bool is_anew, struct err *err);

/* Binds the pipeline to a target. *ret_is_ours is false when it is bound to another one. */
bool source_keeper_claim(struct conn *source, const struct source_pipeline *pipeline,
                         const char *target, bool *ret_is_ours, struct err *err);

/* Sets REPLICA IDENTITY FULL and records what it was, in one transaction under a lock_timeout. */
bool source_keeper_identity_full(struct conn *source, const struct keeper_ref *ref,
                                 const char *table_schema, const char *table, int lock_timeout_ms,
                                 struct err *err);

/* Sets back all identities that were recorded for the slot; tables that are gone, or that somebody
 * has altered since, stay. *ret_count counts those set back. */
bool source_keeper_identities_back(struct conn *source, const struct keeper_ref *ref,
                                   int lock_timeout_ms, int *ret_count, struct err *err);

/* Forgets the pipeline of the slot, and drops everything when it was the last. *ret_dropped tells
 * whether there was anything. A schema that is not ours is left alone: *ret_is_foreign. */
bool source_keeper_drop(struct conn *source, const struct keeper_ref *ref, bool *ret_dropped,
                        bool *ret_is_foreign, struct err *err);
