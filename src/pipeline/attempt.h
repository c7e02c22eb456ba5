/* One attempt at copying, under one snapshot: the steps that `run` (copy.c) and `snapshot`
 * (snapshot.c) share. Owner: engine thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "keeper/keeper.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "pipeline/engine.h"
#include "pipeline/hold.h"
#include "schema/schema.h"
#include "source/part.h"

struct attempt {
    struct engine *engine; /* borrowed */
    struct conn *fresh;    /* to the source, outside the snapshot */
    struct hold hold;
    bool is_standby;           /* the source */
    bool lacks_some;           /* tables came, or start again, after the writers were waited for */
    struct table_list tables;  /* of the source, under S */
    struct table_list found;   /* of the target, before the schema is restored */
    struct table_list target;  /* of the target, after it */
    struct keeper_tables kept; /* as the keeper has them at the start */
    struct part_list parts;
    struct schema_job job;
};

void attempt_release(struct attempt *attempt); /* AUTO handler */

/* The tables of both sides, before anything is made. */
bool attempt_read_tables(struct attempt *attempt, struct err *err);

/* pg_dump under S. *ret_is_good is false when the source's schema has changed meanwhile: its
 * result is thrown away, a new snapshot is needed. */
bool attempt_dump(struct attempt *attempt, bool *ret_is_good, struct err *err);

/* Brings the target's schema to the end of a stage; logs what was left out. */
bool attempt_restore(struct attempt *attempt, enum schema_stage stage, struct err *err);

/* Whether the table's rows are copied: on a standby those of unlogged tables cannot be read. */
bool attempt_copies(const struct engine *engine, bool is_standby, const struct table *table);

/* Cuts the tables into parts and records them; needs the target's tables. */
bool attempt_plan(struct attempt *attempt, struct err *err);

/* Copies the parts. *ret_is_done is false when tables changed under S: the engine's restless ones,
 * which start again. */
bool attempt_rows(struct attempt *attempt, bool *ret_is_done, struct err *err);

/* ANALYZE of what was copied. */
bool attempt_analyze(const struct attempt *attempt, struct err *err);

/* What rows need once they are there: statistics, and the sequences' values. */
bool attempt_finish(struct attempt *attempt, struct err *err);
