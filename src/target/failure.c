/* What is known of a change that could not be applied. See failure.h. */
#include "target/failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char hint_mark[] = "; hint: ";

void apply_failure_release(struct apply_failure *failure)
{
    free(failure->oids);
    free(failure->change);
    free(failure->message);
    *failure = (struct apply_failure){0};
}

static void add_oid(struct apply_failure *failure, uint32_t oid)
{
    failure->oids = mem_resize(failure->oids, failure->count + 1, sizeof(*failure->oids));
    failure->oids[failure->count++] = oid;
}

static void note_error(struct apply_failure *failure, const struct err *err)
{
    const char *hint = strstr(err->text, hint_mark);
    failure->message =
        hint ? str_fmt("%.*s", (int)(hint - err->text), err->text) : str_dup(err->text);
    (void)snprintf(failure->sqlstate, sizeof(failure->sqlstate), "%s", err->sqlstate);
}

void apply_failure_change(struct apply_failure *failure, const struct change *change,
                          char *take_label, const struct err *err)
{
    apply_failure_release(failure);
    note_error(failure, err);
    failure->change = take_label;
    failure->lsn = change->lsn;
    if (change->relation)
        add_oid(failure, change->relation->oid);
    for (size_t i = 0; i < change->truncated_count; i++)
        add_oid(failure, change->truncated[i]->oid);
}

void apply_failure_table(struct apply_failure *failure, uint32_t oid, const struct err *err)
{
    apply_failure_release(failure);
    note_error(failure, err);
    add_oid(failure, oid);
}

static bool is_about(const struct change *change, uint32_t oid)
{
    for (size_t i = 0; i < change->truncated_count; i++)
        if (change->truncated[i]->oid == oid)
            return true;
    return change->relation && change->relation->oid == oid;
}

void apply_failure_place(struct apply_failure *failure, const struct change *const *changes,
                         size_t count)
{
    for (size_t i = 0; i < count && failure->count && !failure->lsn; i++)
        if (is_about(changes[i], failure->oids[0]))
            failure->lsn = changes[i]->lsn;
}
