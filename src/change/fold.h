/* Folding: the changes of one table become one row each of what is to be done to it.
 *
 * Invariant: doing the rows' deletes, then their moves and updates, then their inserts leaves the
 * table as the changes in their order would have. Rows are told apart by the bytes of their key:
 * PostgreSQL compares bytes, too, when it decides whether an update sends the old key, so keys
 * that are equal but not identical (numeric 1.0 and 1.00) are two names of which the source has
 * one at a time. What cannot be told is not folded: fold_add() then says no, and the changes are
 * to be applied one by one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "change/batch.h"

enum fold_kind {
    FOLD_NOTHING, /* inserted and deleted again */
    FOLD_DELETE,
    FOLD_MOVE, /* its key changes: what the changes do not say comes from the row that is there */
    FOLD_UPDATE,
    FOLD_INSERT,
};

struct fold_row {
    struct fold_row *next;      /* in the order in which the rows were met */
    const struct value *old;    /* holds the key that it had before; NULL when inserted here */
    const struct value *values; /* the new row, by the relation's columns; VALUE_UNCHANGED where the
                                   changes do not say. NULL when it is only deleted */
    bool is_gone;
};

struct fold;

/* is_key: by column of the relation; those that tell rows apart. Without any, or NULL, only INSERTs
 * can be taken in, and no two of them are of one row. Everything lives in the arena;
 * fold_free() frees the index only. */
struct fold *fold_new(struct arena *arena, const struct relation *relation, const bool *is_key);
void fold_free(struct fold **fold); /* AUTO handler */

/* Takes in the next INSERT, UPDATE or DELETE of the relation, which must outlive the fold. False:
 * it cannot be folded with those before it. */
bool fold_add(struct fold *fold, const struct change *change);

const struct fold_row *fold_first(const struct fold *fold);
enum fold_kind fold_kind_of(const struct fold_row *row);

/* The rows of one kind, in the fold's arena; how many there are. by_key: those that are there
 * before stand in the order of the bytes of their keys, so that neighbours are found together.
 * Else, and when inserted, they stand as they were met. */
size_t fold_take(const struct fold *fold, enum fold_kind kind, bool by_key,
                 const struct fold_row ***ret_rows);
