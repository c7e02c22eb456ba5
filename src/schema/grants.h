/* Grants one by one, for objects whose privileges cannot be restored as pg_dump wrote them: all in
 * one entry, some of them to roles or of kinds that the target does not have. */
#pragma once

#include <stdbool.h>

#include "base/strv.h"
#include "schema/facts.h"
#include "schema/toc.h"

/* What is left out. */
struct grants_limits {
    const struct strv *missing; /* borrowed: roles that the target lacks */
    bool without_owners;        /* the object belongs to somebody else there */
    bool without_maintain;      /* a privilege of 17 and later */
};

/* The commands that give the object its other privileges; NULL when they are not known (they are of
 * relations, columns, routines, types and schemas). Owned by the caller. */
char *grants_sql(const struct facts *facts, const struct toc_entry *object,
                 const struct grants_limits *limits);

/* The command that makes a policy for those of its roles that are not missing; NULL when there are
 * none. Owned by the caller. */
char *grants_policy_sql(const struct facts *facts, const struct toc_entry *policy,
                        const struct strv *missing);
