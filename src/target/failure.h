/* Why a group could not be applied, when the fault lies with a change or its table, not with the
 * connection or the server: what on_apply_error = park goes by. Owner: applier thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "change/batch.h"

/* In place, zeroed. count 0: none of the kind. */
struct apply_failure {
    uint32_t *oids; /* owned: the source's tables; several for a TRUNCATE */
    size_t count;
    char *change;  /* owned: "INSERT into public.t (id = 5)"; NULL: its table does not fit */
    char *message; /* owned: without the hint that the error ends with */
    char sqlstate[6];
    uint64_t lsn; /* of the commit of its transaction; 0: not known yet */
};

void apply_failure_release(struct apply_failure *failure);

/* Notes a change that was refused with this error; label as change_describe() makes it, taken. */
void apply_failure_change(struct apply_failure *failure, const struct change *change,
                          char *take_label, const struct err *err);

/* Notes a table whose changes cannot be applied at all. */
void apply_failure_table(struct apply_failure *failure, uint32_t oid, const struct err *err);

/* Finds the commit that the failure belongs to among the changes of the failed group. */
void apply_failure_place(struct apply_failure *failure, const struct change *const *changes,
                         size_t count);
