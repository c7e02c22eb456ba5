/* Changes as records of a spill. See aside.h. Written and read by one process: a record holds plain
 * structs, then the values' bytes. */
#include "pipeline/aside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum { PIECE_BYTES = 4 * 1024 * 1024 };

struct aside {
    struct spill *spill;
    struct relation **relations; /* owned references: records name them by place */
    size_t relation_count;
    struct buf record;
    uint64_t count;
};

struct head {
    uint64_t lsn;
    size_t relation;
    uint32_t xid;
    enum change_kind kind;
    enum old_kind old_kind;
    uint16_t old_count;
    uint16_t new_count;
    bool restarts_identity;
};

struct aside *aside_new(struct spill_store *store, const char *label)
{
    struct aside *aside = mem_alloc(sizeof(*aside));
    AUTO(str_free) char *purpose = str_fmt("changes of %s", label);
    aside->spill = spill_new(store, purpose);
    return aside;
}

void aside_free(struct aside **aside)
{
    struct aside *a = *aside;
    if (!a)
        return;
    spill_free(&a->spill);
    for (size_t i = 0; i < a->relation_count; i++)
        relation_unref(&a->relations[i]);
    free(a->relations);
    buf_release(&a->record);
    free(a);
    *aside = NULL;
}

uint64_t aside_count(const struct aside *aside)
{
    return aside->count;
}

/* Nearly always the last one: a table is described anew when it was altered. */
static size_t place_of(struct aside *aside, const struct relation *relation)
{
    size_t last = aside->relation_count - 1;
    if (aside->relation_count && aside->relations[last] == relation)
        return last;
    aside->relations =
        mem_resize(aside->relations, aside->relation_count + 1, sizeof(*aside->relations));
    aside->relations[aside->relation_count] = relation_ref(relation);
    return aside->relation_count++;
}

static void put_tuple(struct buf *record, const struct tuple *tuple)
{
    for (size_t i = 0; i < tuple->count; i++) {
        const struct value *value = &tuple->values[i];
        buf_add(record, &value->kind, sizeof(value->kind));
        buf_add(record, &value->len, sizeof(value->len));
        if (value->len)
            buf_add(record, value->data, value->len);
    }
}

void aside_add(struct aside *aside, const struct change *change, const struct relation *relation,
               uint32_t xid)
{
    struct head head = {
        .lsn = change->lsn,
        .relation = place_of(aside, relation),
        .xid = xid,
        .kind = change->kind,
        .old_kind = change->old_kind,
        .old_count = change->old.count,
        .new_count = change->new.count,
        .restarts_identity = change->restarts_identity,
    };
    buf_reset(&aside->record);
    buf_add(&aside->record, &head, sizeof(head));
    put_tuple(&aside->record, &change->old);
    put_tuple(&aside->record, &change->new);
    spill_append(aside->spill, aside->record.data, aside->record.len);
    aside->count++;
}

struct reading {
    const char *data;
    size_t left;
};

static void take(struct reading *reading, void *to, size_t len)
{
    assert(reading->left >= len); /* we have written it, and the spill has checked it */
    memcpy(to, reading->data, len);
    reading->data += len;
    reading->left -= len;
}

static struct tuple take_tuple(struct arena *arena, struct reading *reading, uint16_t count)
{
    struct tuple tuple = {.count = count};
    if (count)
        tuple.values = arena_alloc(arena, count * sizeof(*tuple.values));
    for (size_t i = 0; i < count; i++) {
        struct value *value = &tuple.values[i];
        take(reading, &value->kind, sizeof(value->kind));
        take(reading, &value->len, sizeof(value->len));
        assert(reading->left >= value->len);
        value->data = arena_copy(arena, reading->data, value->len);
        reading->data += value->len;
        reading->left -= value->len;
    }
    return tuple;
}

static void restore(struct aside *aside, struct batch *batch, const struct head *head,
                    struct reading *reading)
{
    struct arena *arena = batch_arena(batch);
    const struct relation *relation = batch_keep(batch, aside->relations[head->relation]);
    struct change *change = batch_append(batch, head->kind);
    change->lsn = head->lsn;
    change->old_kind = head->old_kind;
    change->restarts_identity = head->restarts_identity;
    change->old = take_tuple(arena, reading, head->old_count);
    change->new = take_tuple(arena, reading, head->new_count);
    if (head->kind != CHANGE_TRUNCATE) {
        change->relation = relation;
        return;
    }
    change->truncated = arena_alloc(arena, sizeof(*change->truncated));
    change->truncated[0] = relation;
    change->truncated_count = 1;
}

bool aside_next(struct aside *aside, const struct snapshot *snapshot, uint64_t end_lsn,
                size_t max_count, struct batch **ret_batch, struct err *err)
{
    AUTO(batch_unref) struct batch *batch = batch_new();
    while (batch_count(batch) < max_count && batch_bytes(batch) < PIECE_BYTES) {
        struct reading reading = {0};
        struct head head;
        if (!spill_next(aside->spill, &reading.data, &reading.left, err))
            return false;
        if (!reading.data)
            break;
        take(&reading, &head, sizeof(head));
        if (head.lsn >= end_lsn || !snapshot_sees(snapshot, head.xid))
            restore(aside, batch, &head, &reading);
    }
    *ret_batch = TAKE(batch);
    return true;
}
