/* Relations of the stream. See relation.h. */
#include "change/relation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct counted {
    struct relation relation; /* first: a relation's address is its counted's */
    atomic_int references;
};

static atomic_uint_fast64_t last_serial;

struct relation *relation_new(uint32_t oid, const char *schema, const char *name,
                              char replica_identity, size_t column_count,
                              const struct relation_column *columns)
{
    struct counted *counted = mem_alloc(sizeof(*counted));
    struct relation *relation = &counted->relation;
    atomic_init(&counted->references, 1);
    relation->serial = atomic_fetch_add(&last_serial, 1) + 1;
    relation->oid = oid;
    relation->schema = str_dup(schema);
    relation->name = str_dup(name);
    relation->replica_identity = replica_identity;
    relation->column_count = column_count;
    relation->columns = mem_alloc(column_count * sizeof(*columns));
    for (size_t i = 0; i < column_count; i++) {
        relation->columns[i] = columns[i];
        relation->columns[i].name = str_dup(columns[i].name);
        relation->columns[i].type_name = str_dup(columns[i].type_name);
    }
    return relation;
}

bool relation_is(const struct relation *relation, const char *schema, const char *name,
                 char replica_identity, size_t column_count, const struct relation_column *columns)
{
    if (relation->replica_identity != replica_identity || relation->column_count != column_count ||
        strcmp(relation->schema, schema) != 0 || strcmp(relation->name, name) != 0)
        return false;
    for (size_t i = 0; i < column_count; i++) {
        const struct relation_column *mine = &relation->columns[i];
        if (mine->type_oid != columns[i].type_oid || mine->typmod != columns[i].typmod ||
            mine->is_key != columns[i].is_key || strcmp(mine->name, columns[i].name) != 0)
            return false;
    }
    return true;
}

/* Counting is no change of what the relation says: const stays const for readers. */
static struct counted *counted_of(const struct relation *relation)
{
    return (struct counted *)(uintptr_t)relation;
}

struct relation *relation_ref(const struct relation *relation)
{
    struct counted *counted = counted_of(relation);
    atomic_fetch_add(&counted->references, 1);
    return &counted->relation;
}

void relation_unref(struct relation **relation)
{
    struct relation *r = *relation;
    *relation = NULL;
    if (!r || atomic_fetch_sub(&counted_of(r)->references, 1) > 1)
        return;
    for (size_t i = 0; i < r->column_count; i++) {
        free(r->columns[i].name);
        free(r->columns[i].type_name);
    }
    free(r->columns);
    free(r->schema);
    free(r->name);
    free(counted_of(r));
}
