/* Inside src/status only: the two halves of status_read(). */
#pragma once

#include "conf/selection.h"
#include "keeper/progress.h"
#include "status/status.h"

/* A table of the source, as far as status needs it. */
struct source_table {
    uint32_t oid;
    char *schema; /* owned */
    char *name;   /* owned */
    bool is_unlogged;
    bool is_published;  /* by a publication of this pipeline */
    bool is_changeable; /* its UPDATEs and DELETEs are published too */
};

struct status_reading {
    struct status *status;
    struct selection selection;
    struct conn *source; /* NULL: not reached */
    struct conn *target;
    struct source_table *tables; /* owned: the selected ones; by schema and name */
    size_t table_count;
    int version; /* of the keeper */
    struct keeper_tables kept;
    struct keeper_progress progress;
};

/* The keeper, the engine's lock, what our sessions wait for there. */
bool status_look_target(struct status_reading *reading, struct err *err) MUST_USE;

/* Slot, publications, tables, held snapshot, what our sessions wait for there; the lag. */
bool status_look_source(struct status_reading *reading, struct err *err) MUST_USE;
