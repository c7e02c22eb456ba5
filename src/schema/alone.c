/* Relations of the dump that the target has in a shape of its own: they are left as they are, with
 * all that is part of them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "schema/toc.h"

static bool is_in(const char *oids, uint32_t oid)
{
    for (const char *at = oids; at && *at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strtoul(at, NULL, 10) == oid)
            return true;
    }
    return false;
}

/* Whether it is part of the table it depends on, or points to it: views and functions are not. */
static bool is_part(const struct toc_entry *entry)
{
    enum { ATTRDEF = 2604, CONSTRAINT = 2606, REWRITE = 2618, TRIGGER = 2620, POLICY = 3256 };
    enum { STATISTICS = 3381 };
    return entry->kind == TOC_INDEX || entry->catalog == ATTRDEF || entry->catalog == CONSTRAINT ||
           (entry->catalog == REWRITE && !entry->is_repeatable) || entry->catalog == TRIGGER ||
           entry->catalog == POLICY || entry->catalog == STATISTICS;
}

static bool hangs_on_left_out(const struct toc *toc, const struct toc_entry *entry)
{
    for (size_t d = 0; d < entry->dep_count; d++) {
        const struct toc_entry *dep = toc_find(toc, entry->deps[d]);
        if (dep && dep->is_left_out)
            return true;
    }
    return false;
}

void toc_leave_alone(struct toc *toc, const char *oids, struct strv *warnings)
{
    enum { PG_CLASS = 1259 };
    for (size_t i = 0; oids && i < toc->count; i++) {
        struct toc_entry *entry = &toc->items[i];
        bool is_named = entry->catalog == PG_CLASS && is_in(oids, entry->oid);
        if (entry->is_left_out || !(is_named || (is_part(entry) && hangs_on_left_out(toc, entry))))
            continue;
        entry->is_left_out = true;
        if (entry->kind == TOC_FK && entry->identity)
            strv_take(warnings, str_fmt("left out, because it is tied to a table that is the "
                                        "target's own: %s",
                                        entry->identity));
    }
    toc_leave_out(toc);
}
