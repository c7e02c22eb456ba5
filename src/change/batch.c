/* Batches. See batch.h. */
#include "change/batch.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

struct batch {
    atomic_int references;
    struct arena *arena;
    struct change *first;
    struct change *last;
    size_t count;
    struct relation **kept; /* owned references */
    size_t kept_count;
};

struct batch *batch_new(void)
{
    struct batch *batch = mem_alloc(sizeof(*batch));
    atomic_init(&batch->references, 1);
    batch->arena = arena_new();
    return batch;
}

struct batch *batch_ref(struct batch *batch)
{
    atomic_fetch_add(&batch->references, 1);
    return batch;
}

void batch_unref(struct batch **batch)
{
    struct batch *b = *batch;
    *batch = NULL;
    if (!b || atomic_fetch_sub(&b->references, 1) > 1)
        return;
    for (size_t i = 0; i < b->kept_count; i++)
        relation_unref(&b->kept[i]);
    free(b->kept);
    arena_free(&b->arena);
    free(b);
}

struct change *batch_append(struct batch *batch, enum change_kind kind)
{
    struct change *change = arena_alloc(batch->arena, sizeof(*change));
    change->kind = kind;
    if (batch->last)
        batch->last->next = change;
    else
        batch->first = change;
    batch->last = change;
    batch->count++;
    return change;
}

struct arena *batch_arena(struct batch *batch)
{
    return batch->arena;
}

const struct relation *batch_keep(struct batch *batch, const struct relation *relation)
{
    /* Neighbouring changes mostly share their relation: looking at the last few is enough, a
     * second reference does no harm. */
    for (size_t i = batch->kept_count; i > 0 && i + 4 > batch->kept_count; i--)
        if (batch->kept[i - 1] == relation)
            return relation;
    batch->kept = mem_resize(batch->kept, batch->kept_count + 1, sizeof(struct relation *));
    return batch->kept[batch->kept_count++] = relation_ref(relation);
}

const struct change *batch_first(const struct batch *batch)
{
    return batch->first;
}

const struct change *batch_last(const struct batch *batch)
{
    return batch->last;
}

size_t batch_count(const struct batch *batch)
{
    return batch->count;
}

size_t batch_bytes(const struct batch *batch)
{
    return arena_used(batch->arena);
}
