/* Inside src/target/postgres only: a relation of the stream as the target has it, and the prepared
 * statements that write to it. */
#pragma once

#include <uthash.h>

#include "base/strv.h"
#include "change/batch.h"
#include "pg/pipe.h"

struct postgres;

/* Where one parameter of a statement comes from. */
struct statement_param {
    size_t column; /* of the relation */
    bool is_old;   /* from the old tuple, else from the new one */
};

/* What a statement's answer says of the rows it met; conflict.c reads it. */
enum answer_form {
    ANSWER_ANY,    /* nothing: the statement has failed or it has not */
    ANSWER_ONE,    /* rows affected: one, else a row was missing or there were several */
    ANSWER_KEPT,   /* rows affected: none when the row in the way has been kept */
    ANSWER_UPSERT, /* "t" inserted, "f" overwritten; no row: nothing could be done */
    ANSWER_COUNTS, /* "touched cleared": rows changed, rows deleted that had the new key */
};

/* One way to write one kind of change to one table: prepared once, executed by name. */
struct statement {
    struct statement *next;
    enum change_kind kind;
    enum old_kind old_kind;
    bool moves;  /* UPDATE: as DELETE and INSERT */
    bool clears; /* UPDATE: a row that has the new key already is deleted first */
    bool makes;  /* UPDATE: the row is inserted when it is missing */
    enum answer_form answer;
    bool *has_new; /* owned; UPDATE: which columns of the relation the stream carries */
    struct statement_param *params; /* owned */
    size_t param_count;
    char *sql; /* owned; NULL: this change writes nothing (an update of no column) */
    char name[32];
    bool is_prepared;
    bool is_strict_prepared; /* see quick.c */
};

/* A set statement writes many rows, which come as one parameter: an array of the table's row type.
 * (Arrays of its columns' types would do for few types: unnest flattens nested arrays.) */
enum set_kind { SET_DELETE, SET_MOVE, SET_UPDATE, SET_INSERT };

struct set_statement {
    struct set_statement *next;
    enum set_kind kind;
    bool *is_known; /* owned; MOVE, UPDATE: which columns of the relation the changes say */
    char *sql;      /* owned; NULL: it would write nothing */
    char name[32];
    bool is_prepared;
};

/* A column of the target's row type, in its order. */
struct row_column {
    uint32_t type_oid; /* of the target */
    bool is_sent;      /* the relation has it */
    size_t column;     /* of the relation, when it is sent */
};

/* ROWS FROM returns 1,600 columns at most, and a move needs the row twice. */
enum { ROW_COLUMNS_MAX = 800 };

/* What the data met on the target that it should not have, and what was done. */
enum collision {
    INSERT_OVERWRITTEN,
    INSERT_KEPT,
    UPDATE_OVERWRITTEN,
    UPDATE_INSERTED,
    UPDATE_SKIPPED,
    DELETE_SKIPPED,
    COLLISION_COUNT,
};

/* Of one kind of collision in one table: what has been told of it. */
struct tally {
    uint64_t count;
    uint64_t told_count;
    int64_t told_ms;
};

struct destination_column {
    char *type_name; /* owned; as the target's catalog writes it */
    char *base;      /* owned; "::type" that a domain is over, else "" */
    char *equal;   /* owned; "COLLATE c OPERATOR(schema.=)", the index's; NULL when not part of the
                      key */
    char *arbiter; /* owned; how the key's index has it: "COLLATE c opclass"; NULL as above, or
                      when no index carries the key */
    bool is_identity_always;
};

/* A relation of the stream as the target has it. */
struct destination {
    uint64_t serial;           /* of the relation: the map's key */
    struct relation *relation; /* a reference */
    int64_t described_ms;
    char *label;         /* owned: "schema.name", for people */
    char *schema, *name; /* owned: the target's; not the relation's when routed */
    bool is_routed;      /* another table's name: that of its root, which other relations share */
    bool is_partitioned;
    bool has_key;       /* rows are found by the columns that have `equal`; else by record image */
    bool has_key_index; /* a unique index of the target carries it */
    bool has_other_unique; /* unique or exclusion constraints or indexes: more than one */
    bool has_deferrable;   /* a unique or exclusion constraint that can be checked later */
    struct destination_column *columns; /* owned; as many as the relation has */
    struct strv others; /* columns that only the target has, without generated ones */
    struct statement *statements;
    bool has_triggers; /* triggers or rules that act on what is applied: the order matters */
    bool can_set;
    bool *is_key; /* owned; by column of the relation; none: rows have no key with an index */
    uint32_t row_type_oid;
    struct row_column *row; /* owned */
    size_t row_count;
    struct set_statement *sets;
    unsigned refusals;     /* of sets, of late; see sets.c */
    int64_t refused_ms;    /* the last one */
    unsigned ordered_left; /* groups to be applied change by change before sets are tried again */
    struct tally tallies[COLLISION_COUNT];
    struct destination *next_retired;
    UT_hash_handle hh;
};

/* destination.c */
bool destination_find(struct postgres *pg, const struct relation *relation,
                      struct destination **ret_destination, struct err *err);
/* The same, described anew when that was some seconds old at group_ms: triggers and indexes come
 * and go on the target. Only between groups, each table at most once. */
bool destination_refresh(struct postgres *pg, const struct relation *relation, int64_t group_ms,
                         struct destination **ret_destination, struct err *err);
void destination_free(struct destination **destination);

/* statement.c: the statement for change, made when there is none yet. */
struct statement *statement_find(struct postgres *pg, struct destination *destination,
                                 const struct change *change);
void statement_free(struct statement **statement);

/* set_statement.c: the statement for rows of that kind and those columns (NULL: all). */
struct set_statement *set_statement_find(struct postgres *pg, struct destination *destination,
                                         enum set_kind kind, const bool *is_known);
void set_statement_free(struct set_statement **statement);

/* describe.c: "schema.table (id = 5)", with the key of the row; owned by the caller. */
char *change_describe(const struct destination *destination, const struct change *change);
