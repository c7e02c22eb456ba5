/* Inside src/target/postgres only: the target's state and the prepared statements of a table. */
#pragma once

#include <uthash.h>

#include "base/strv.h"
#include "pg/conn.h"
#include "pg/pipe.h"
#include "target/postgres/postgres.h"

/* Where one parameter of a statement comes from. */
struct statement_param {
    size_t column; /* of the relation */
    bool is_old;   /* from the old tuple, else from the new one */
};

/* One way to write one kind of change to one table: prepared once, executed by name. */
struct statement {
    struct statement *next;
    enum change_kind kind;
    enum old_kind old_kind;
    bool moves;    /* UPDATE: as DELETE and INSERT */
    bool *has_new; /* owned; UPDATE: which columns of the relation the stream carries */
    struct statement_param *params; /* owned */
    size_t param_count;
    char *sql; /* owned; NULL: this change writes nothing (an update of no column) */
    char name[32];
    bool is_prepared;
};

struct destination_column {
    char *type_name; /* owned; as the target's catalog writes it */
    char *equal;     /* owned; "OPERATOR(schema.=)"; NULL when not part of the key */
    bool is_identity_always;
};

/* A relation of the stream as the target has it. */
struct destination {
    uint64_t serial;           /* of the relation: the map's key */
    struct relation *relation; /* a reference */
    char *label;               /* owned: "schema.name" */
    bool is_partitioned;
    bool has_key; /* rows are found by the columns that have `equal`; else by record image */
    struct destination_column *columns; /* owned; as many as the relation has */
    struct strv others; /* columns that only the target has, without generated ones */
    struct statement *statements;
    struct destination *next_retired;
    UT_hash_handle hh;
};

/* A group's commit that the target may not have flushed yet. */
struct unflushed {
    struct position position;
    uint64_t wal; /* of the target: once flushed up to here, position is durable */
};

/* What an answer to come belongs to; change is NULL for BEGIN, PREPARE and the like. */
struct pending {
    const struct change *change;
    struct destination *destination;
};

enum { PENDING_MAX = 4096, UNFLUSHED_MAX = 1024 };

struct postgres {
    struct target target; /* first */
    struct postgres_options options;
    char *name; /* owned: options.application_name */
    char *position_sql; /* owned: of the keeper */
    struct conn *conn;
    struct conn *lookup; /* catalog reads beside a pipeline in flight; opened when needed */

    /* the part in hand */
    struct part_target part; /* its texts are borrowed until the part's end */
    int64_t part_bytes;

    /* the group in hand */
    bool is_pipelining;
    bool is_open; /* BEGIN is sent, COMMIT is not */
    struct position start;
    struct destination *destinations;
    struct destination *retired; /* described anew since; freed before the next group */
    unsigned statement_count;
    struct pipe_params params;           /* of the statement that is being sent */
    struct pending pending[PENDING_MAX]; /* a ring: answers come in the order of the commands */
    size_t pending_first, pending_count;

    /* durability */
    uint64_t wal_block_size;
    struct position durable;
    struct unflushed unflushed[UNFLUSHED_MAX];
    size_t unflushed_count;
};

/* postgres.c */
struct postgres *postgres_of(struct target *target);

/* destination.c */
bool destination_find(struct postgres *pg, const struct relation *relation,
                      struct destination **ret_destination, struct err *err);
void destination_free(struct destination **destination);

/* statement.c: the statement for change, made when there is none yet. */
struct statement *statement_find(struct postgres *pg, struct destination *destination,
                                 const struct change *change);
void statement_free(struct statement **statement);

/* describe.c: "schema.table (id = 5)", with the key of the row; owned by the caller. */
char *change_describe(const struct destination *destination, const struct change *change);

/* load.c */
bool postgres_part_begin(struct target *target, const struct part_target *part, struct err *err);
bool postgres_part_rows(struct target *target, const char *raw, size_t len, struct err *err);
bool postgres_part_commit(struct target *target, int64_t *ret_rows, struct err *err);
bool postgres_part_abort(struct target *target, struct err *err);

/* apply.c */

/* position becomes durable when the target has flushed its WAL up to `wal`, an insert position. */
void postgres_note_committed(struct postgres *pg, const struct position *position, uint64_t wal);
bool postgres_apply(struct target *target, const struct group *group, struct err *err);
bool postgres_flushed(struct target *target, int timeout_ms, struct position *ret_durable,
                      struct err *err);
