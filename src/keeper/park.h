/* Parked tables: those whose changes are left out, because one of them could not be applied.
 *
 * Invariant: a table is recorded as parked, with the reason, while no group is open, at the
 * position from which its changes are left out; nothing more is applied before that is committed.
 * So it stands as of that position whatever dies when. It ceases to be parked when it is recorded
 * as copied again (keeper_plan_table()), or in the transaction that replaces its contents by a copy
 * made beside the stream (keeper_rejoin_sql()). Until that commits, a table that is copied anew is
 * parked: what is set aside of it in between may be lost with the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keeper/keeper.h"

/* Why tables are to be parked. Texts are borrowed. */
struct keeper_parking {
    const uint32_t *oids; /* of the source */
    size_t count;
    bool is_by_target;    /* with them all that share a table of the target with one of them */
    const char *change;   /* "INSERT into public.t (id = 5)"; NULL: all of the table's */
    uint64_t lsn;         /* of the commit of its transaction */
    const char *sqlstate; /* "" without one */
    const char *message;
};

/* Records them, and one row for each in apply_errors; one transaction. *ret_count: how many, 0 when
 * the keeper knows none of them. */
bool keeper_park(struct conn *conn, const struct keeper_ref *ref,
                 const struct keeper_parking *parking, size_t *ret_count, struct err *err);

/* A parked table, and what was recorded last of it; owned texts, NULL where nothing was. */
struct keeper_parked {
    uint32_t oid;
    char *schema;
    char *name;
    uint64_t lsn; /* its changes are left out from here on */
    char *change;
    uint64_t change_lsn;
    char *sqlstate;
    char *message;
    char *at;
};

struct keeper_parked_list {
    struct keeper_parked *items; /* by schema and name */
    size_t count;
};
#define KEEPER_PARKED_LIST_INIT ((struct keeper_parked_list){0})

/* Of a keeper of KEEPER_VERSION. */
bool keeper_parked_read(struct conn *conn, const struct keeper_ref *ref,
                        struct keeper_parked_list *ret_list, struct err *err);
void keeper_parked_list_release(struct keeper_parked_list *list); /* AUTO handler */

/* Records that tables are to be copied anew beside the stream; parked they are from then on. */
bool keeper_resync(struct conn *conn, const struct keeper_ref *ref, const uint32_t *oids,
                   size_t count, struct err *err);

/* For the target's transaction that replaces the table's contents: it is followed again, with S, L,
 * columns and names of the new copy. Owned. */
char *keeper_rejoin_sql(const struct keeper_ref *ref, const struct keeper_table *table);

/* The table of the keeper's schema that holds the new copy until then; owned. And dropping what is
 * left of any. */
char *keeper_side_name(uint32_t oid);
bool keeper_drop_sides(struct conn *conn, const char *schema, struct err *err);
