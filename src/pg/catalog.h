/* Tables and their columns, as one snapshot of a catalog shows them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/conn.h"

struct column {
    char *name;      /* owned, as all text here */
    char *type_name; /* format_type(type, -1): complete and parseable, without modifier */
    char *type_full; /* format_type(type, modifier): as in CREATE TABLE */
    uint32_t type_oid;
    int32_t typmod;
    uint32_t shown_oid;   /* the type as results describe it: a domain's base type */
    int32_t shown_typmod; /* and its modifier */
    int16_t attnum;
    bool is_generated;       /* GENERATED ALWAYS AS (…) STORED: never written */
    bool is_identity_always; /* GENERATED ALWAYS AS IDENTITY */
    bool is_identity_key;    /* part of the replica identity's index */
    bool is_primary_key;
    bool is_not_null;
};

struct table {
    uint32_t oid;
    char *schema;
    char *name;
    char kind;             /* 'r' table, 'p' partitioned, 'P' the same and meant with its rows */
    char persistence;      /* 'p', 'u' */
    char replica_identity; /* 'd', 'n', 'f', 'i' */
    bool is_partition;
    bool is_heap;      /* access method heap: TID ranges are cheap */
    bool has_identity; /* UPDATE and DELETE can be published */
    char *root_schema; /* of a partition: the topmost table; else NULL */
    char *root_name;
    uint32_t filenode; /* pg_class.relfilenode under the reading transaction's snapshot */
    int64_t bytes;     /* of the main fork, as of the last VACUUM or ANALYZE: see catalog_measure */
    struct column *columns;
    size_t column_count;
};

struct table_list {
    struct table *items; /* by schema and name */
    size_t count;
};

#define TABLE_LIST_INIT ((struct table_list){0})

/* SQL: whether the schema with that oid bears our mark. Such schemas are nobody's data. */
#define CATALOG_IS_KEEPER(oid)                                           \
    "(coalesce(pg_catalog.obj_description(" oid ", 'pg_namespace'), '')" \
    " = 'trunkline keeper')"

/* All user tables: permanent and unlogged, partitioned ones and their leaves; without system
 * schemas, temporary tables, members of extensions, and keepers: schemas with our mark, and the
 * one named keeper. */
bool catalog_tables(struct conn *conn, const char *keeper, struct table_list *ret_list,
                    struct err *err);

/* The two halves of it, to let two servers work at the same time. */
struct catalog_question {
    struct conn *conn; /* borrowed */
    bool is_ours;      /* the transaction */
};
bool catalog_ask(struct conn *conn, const char *keeper, struct catalog_question *ret_question,
                 struct err *err);
bool catalog_answer(const struct catalog_question *question, struct table_list *ret_list,
                    struct err *err);

/* The sizes of now: waits for whoever holds a table exclusively, which catalog_tables() does not.
 */
bool catalog_measure(struct conn *conn, struct table_list *list, struct err *err);
void table_list_release(struct table_list *list);

/* Removes what keep() refuses. */
void table_list_filter(struct table_list *list, bool (*keep)(const struct table *, void *),
                       void *arg);

/* NULL when it is not there. Borrowed from list. */
const struct table *table_list_find(const struct table_list *list, const char *schema,
                                    const char *name);
const struct table *table_list_find_oid(const struct table_list *list, uint32_t oid);
const struct column *table_column(const struct table *table, const char *name);

/* Where the rows of a table go: the table of its own name in list; with via_root that of its
 * topmost root's. NULL when it is not there. */
const struct table *table_list_goal(const struct table_list *list, const struct table *table,
                                    bool via_root);
bool table_is_leaf_of(const struct table *table, const struct table *root);

/* "schema.name" for people. Owned by the caller. */
char *table_label(const struct table *table);

/* Its columns, as "name oid typmod" lines. Owned by the caller. */
char *table_signature(const struct table *table);
