/* The visibility rule. See handover.h. */
#include "pipeline/handover.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/snapshot.h"

struct entry {
    uint32_t oid;
    uint64_t end_lsn;
    struct snapshot snapshot;
};

struct handover {
    struct entry *entries; /* by oid */
    size_t count;
    struct entry schema; /* for relations not among them */
    uint64_t end;
};

void handover_free(struct handover **handover)
{
    struct handover *h = *handover;
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++)
        snapshot_release(&h->entries[i].snapshot);
    snapshot_release(&h->schema.snapshot);
    free(h->entries);
    free(h);
    *handover = NULL;
}

bool handover_new(const struct keeper_tables *tables, const struct keeper_pipeline *pipeline,
                  struct handover **ret_handover, struct err *err)
{
    AUTO(handover_free) struct handover *handover = mem_alloc(sizeof(*handover));
    handover->entries = mem_alloc(tables->count * sizeof(*handover->entries));
    for (size_t i = 0; i < tables->count; i++) {
        struct entry *entry = &handover->entries[handover->count];
        entry->oid = tables->items[i].oid;
        entry->end_lsn = tables->items[i].end_lsn;
        if (!snapshot_parse(tables->items[i].snapshot, &entry->snapshot, err))
            return false;
        handover->count++;
        handover->end = MAX_OF(handover->end, entry->end_lsn);
    }
    if (pipeline->schema_snapshot) {
        handover->schema.end_lsn = pipeline->schema_lsn;
        handover->end = MAX_OF(handover->end, pipeline->schema_lsn);
        if (!snapshot_parse(pipeline->schema_snapshot, &handover->schema.snapshot, err))
            return false;
    }
    *ret_handover = TAKE(handover);
    return true;
}

uint64_t handover_end(const struct handover *handover)
{
    return handover->end;
}

static int compare_oid(const void *a, const void *b)
{
    uint32_t left = ((const struct entry *)a)->oid;
    uint32_t right = ((const struct entry *)b)->oid;
    return (left > right) - (left < right);
}

static bool holds(const struct handover *handover, uint32_t oid, uint32_t xid, uint64_t commit_lsn)
{
    struct entry key = {.oid = oid};
    const struct entry *entry = NULL;
    if (commit_lsn >= handover->end)
        return false;
    if (handover->count)
        entry = bsearch(&key, handover->entries, handover->count, sizeof(key), compare_oid);
    if (!entry)
        entry = &handover->schema;
    return commit_lsn < entry->end_lsn && snapshot_sees(&entry->snapshot, xid);
}

bool handover_skips(const struct handover *handover, const struct change *change, uint32_t xid,
                    uint64_t commit_lsn)
{
    return holds(handover, change->relation->oid, xid, commit_lsn);
}

size_t handover_filter(const struct handover *handover, const struct relation **relations,
                       size_t count, uint32_t xid, uint64_t commit_lsn)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!holds(handover, relations[i]->oid, xid, commit_lsn))
            relations[kept++] = relations[i];
    return kept;
}
