/* A table as the stream describes it. Immutable once made: a changed table gets a new relation
 * with a new serial. The only counted type besides batches. Shared: atomic count. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relation_column {
    char *name;        /* owned */
    uint32_t type_oid; /* of the source */
    char *type_name;   /* owned; as the source writes it; NULL when not known */
    int32_t typmod;
    bool is_key; /* part of the replica identity */
};

struct relation {
    uint64_t serial;       /* unique in this process */
    uint32_t oid;          /* of the source; what tells relations apart, never the name */
    char *schema;          /* owned; source's name */
    char *name;            /* owned; source's name */
    char replica_identity; /* 'd', 'n', 'f', 'i' */
    size_t column_count;
    struct relation_column *columns; /* owned */
};

/* Names are copied, those of columns and types too. The caller holds the first reference. */
struct relation *relation_new(uint32_t oid, const char *schema, const char *name,
                              char replica_identity, size_t column_count,
                              const struct relation_column *columns);
/* Whether it says just this. */
bool relation_is(const struct relation *relation, const char *schema, const char *name,
                 char replica_identity, size_t column_count, const struct relation_column *columns);
struct relation *relation_ref(const struct relation *relation);
void relation_unref(struct relation **relation); /* AUTO handler */
