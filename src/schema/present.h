/* What of a dump exists on the target already, and what the target cannot take. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/strv.h"
#include "pg/conn.h"
#include "schema/facts.h"
#include "schema/toc.h"

/* Fills in what the entries hold of the target. Objects are compared by what
 * pg_identify_object() says of them on either side: kind, names, signature. */
bool present_ask(struct conn *target, struct toc *toc, struct err *err);

/* What must be done without on this target. */
struct present_limits {
    bool without_owners;
    bool without_privileges;
    bool without_tablespaces;
    bool one_by_one; /* all tables of a transaction would be more locks than the server has */
    bool is_serial;  /* no two entries at the same time, in any stage */
};

/* Whether the server's table of locks holds what a stage makes, if it is made at once. */
bool present_locks(struct conn *target, const struct toc *toc, enum schema_stage stage,
                   struct present_limits *limits, struct err *err);

/* Adds to limits; what stands there already is wanted, and not asked about. Roles and tablespaces
 * that the target lacks or its user may not use. Privileges, policies and user mappings of such
 * roles are marked in toc as left out, mappings that exist as present. What is done otherwise is
 * added to warnings. */
bool present_limits(struct conn *target, const struct facts *facts, struct toc *toc,
                    struct present_limits *limits, struct strv *warnings, struct err *err);

/* Whether the server has loaded the label provider. Changes nothing; outside a transaction. */
bool present_has_provider(struct conn *target, const char *provider, bool *ret_has,
                          struct err *err);
