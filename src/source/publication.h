/* Publications on the source: making them, bringing them in step with the selected tables.
 *
 * A pipeline of ours has two: one for tables whose UPDATEs and DELETEs can be published, one that
 * publishes INSERTs and TRUNCATEs of the rest, so that no statement of the source ever fails.
 *
 * Invariant: both come before the slot, always. One made after its slot leaves WAL that cannot be
 * decoded (up to 17) or whose rows are dropped (18). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "pg/conn.h"

/* The name of the second publication of a slot; owned by the caller. */
char *publication_inserts_name(const char *slot);

bool publication_look(struct conn *source, const char *publication, bool *ret_exists,
                      struct err *err);

/* Makes it, empty, when there is none. */
bool publication_make(struct conn *source, const char *publication, bool is_inserts_only,
                      bool *ret_made, struct err *err);

/* Whether a partitioned table may be published as a whole: it has a primary key, so that leaves to
 * come have one, and all that are there have identity. Else its leaves go one by one: an UPDATE of
 * a leaf without identity must not fail on the source because of us. */
bool publication_is_publishable(const struct table *table);
bool publication_is_safe_root(const struct table_list *tables, const struct table *table);

/* Whether it bears our mark: only then it is changed or dropped. */
bool publication_is_ours(struct conn *source, const char *publication, bool *ret_is_ours,
                         struct err *err);

struct publication_state {
    bool exists;
    bool is_ours;
    bool is_intact; /* publishes what publication_make() said, without filters and column lists */
};

bool publication_read(struct conn *source, const char *publication, bool is_inserts_only,
                      struct publication_state *ret_state, struct err *err);

/* Makes both publications carry the publishable tables of the list and nothing else, within the
 * caller's transaction if there is one: tables with identity the one, if with_inserts the rest the
 * other. *ret_added gets the labels of tables that were in neither before, *ret_dropped of those
 * that left. */
bool publication_step(struct conn *source, const char *const names[2],
                      const struct table_list *tables, bool with_inserts, struct strv *ret_added,
                      struct strv *ret_dropped, struct err *err);

/* Those of the list that a publication of the names (two; NULL: none) carries: is_carried[i].
 * Caller owns the array. */
bool publication_carries(struct conn *source, const char *const names[2],
                         const struct table_list *tables, bool **ret_is_carried, struct err *err);

bool publication_drop(struct conn *source, const char *publication, bool *ret_dropped,
                      struct err *err);
