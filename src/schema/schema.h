/* The schema copy: pg_dump under a snapshot, then pg_restore in three stages, each from a list of
 * the dump's own entries. SQL text is never taken apart.
 *
 * The dump and what the source's catalog says about its entries lie in files of the work
 * directory. They outlive the engine: a stage that was cut short is simply run again, and leaves
 * out what exists on the target already. Owner: one thread; each call runs child processes and
 * waits for them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "schema/tools.h"

struct schema_job {
    const char *source_url; /* borrowed, as all up to jobs */
    const char *target_url;
    const char *pipeline; /* for application_name */
    const char *keeper;   /* the schema that is not copied */
    const char *work_dir; /* exists, private to this pipeline, kept over restarts */
    const struct schema_tools *tools;
    const struct table_list *selected; /* copy only these tables (roots with all their leaves,
                                          oids as on the source); NULL: all */
    const char *left_alone; /* borrowed: "oid,oid": relations of the source that are not made, with
                               all that is part of them or points to them; NULL: none */
    bool without_actors; /* no foreign keys, triggers, rules: they would act on applied changes */
    const struct stop *stop;
    int connect_timeout_ms;
    int tcp_user_timeout_ms;
    int64_t index_memory; /* bytes for one index build; 0: the target's default */
    int jobs;             /* index builds at the same time */
    bool without_owners;  /* what is made belongs to the target's user */
    bool without_privileges;
    bool without_refresh; /* materialised views stay empty */

    struct strv left_out; /* owned; for the log, from schema_dump(): what a selection leaves out */
    struct strv warnings; /* owned; for the log, from schema_restore(): what was done otherwise */
};

void schema_job_release(struct schema_job *job); /* the lists only */

/* Runs pg_dump under the exported snapshot (NULL: a fresh one), then asks source, on a connection
 * outside that snapshot, about what was dumped. The caller compares schema_fingerprint() under
 * the snapshot with a fresh one afterwards; when they are equal schema_dump_keep(), else he dumps
 * again. */
bool schema_dump(struct schema_job *job, struct conn *source, const char *snapshot,
                 struct err *err);

/* Marks the dump as good: only then does schema_dump_exists() tell of it, after a restart too. */
bool schema_dump_keep(const struct schema_job *job, struct err *err);

/* Whether a complete and good dump lies in the work directory. */
bool schema_dump_exists(const struct schema_job *job);

enum schema_stage {
    SCHEMA_TABLES,  /* all that comes before rows; one transaction, up to a bound */
    SCHEMA_INDEXES, /* keys, indexes, constraints, statistics; in parallel */
    SCHEMA_KEYS,    /* foreign keys, triggers, rules, policies; then materialised views */
};

/* Brings the target up to the end of a stage. Repeatable: what exists is left out, half-built
 * (invalid) indexes are built again. Sessions of an earlier, killed pg_restore of this pipeline
 * are ended first: the caller holds the engine's lock. target is outside a transaction. */
bool schema_restore(struct schema_job *job, struct conn *target, enum schema_stage stage,
                    struct err *err);
