/* Which tables a pipeline is about: those that `tables` covers without `excluded_tables`; of those
 * in `schema_only_tables` the rows that are there now are not copied. A partition goes with its
 * topmost table (root_schema and root_name, NULL for tables that are no partitions). */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/macros.h"
#include "conf/pattern.h"
#include "conf/settings.h"

struct selection {
    struct pattern_list tables;
    struct pattern_list excluded;
    struct pattern_list schema_only;
};

#define SELECTION_INIT ((struct selection){0})

/* Names as the catalog has them. */
struct selected {
    const char *schema;
    const char *name;
    const char *root_schema;
    const char *root_name;
};

bool selection_read(const struct settings *settings, struct selection *ret,
                    struct err *err) MUST_USE;
void selection_release(struct selection *selection); /* AUTO handler */

/* Remembers, for selection_unmatched(), which patterns have covered a table. */
bool selection_covers(struct selection *selection, const struct selected *table);
bool selection_is_schema_only(const struct selection *selection, const struct selected *table);

/* Whether everything is selected: no patterns but, perhaps, schema_only ones. */
bool selection_is_all(const struct selection *selection);

/* The patterns as one text: equal texts select alike. Owned by the caller. */
char *selection_text(const struct settings *settings);

/* Refuses (ERR_CONFIG) patterns of `tables` that covered nothing. */
bool selection_check(const struct selection *selection, struct err *err) MUST_USE;
