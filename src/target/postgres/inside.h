/* Inside src/target/postgres only: the target's state and the prepared statements of a table. */
#pragma once

#include <uthash.h>

#include "base/strv.h"
#include "pg/conn.h"
#include "base/arena.h"
#include "pg/pipe.h"
#include "target/postgres/postgres.h"
#include "target/postgres/row_array.h"

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
    char *label;               /* owned: "schema.name", for people */
    char *schema, *name;       /* owned: the target's; not the relation's when routed */
    bool is_partitioned;
    bool has_key;        /* rows are found by the columns that have `equal`; else by record image */
    bool has_key_index;  /* a unique index of the target carries it */
    bool has_deferrable; /* a unique or exclusion constraint that can be checked later */
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
    unsigned ordered_left; /* groups to be applied change by change before sets are tried again */
    struct tally tallies[COLLISION_COUNT];
    struct destination *next_retired;
    UT_hash_handle hh;
};

/* A group's commit that the target may not have flushed yet. */
struct unflushed {
    struct position position;
    uint64_t wal; /* of the target: once flushed up to here, position is durable */
};

/* What an answer to come belongs to; change is NULL for BEGIN, PREPARE and the like, statement for
 * a TRUNCATE too. */
struct pending {
    const struct change *change;
    struct destination *destination;
    const struct statement *statement;
    bool is_set;           /* of a set, or its PREPARE: no error, but a refusal */
    int64_t set_rows;      /* that it must affect; -1: a PREPARE */
    bool *ret_is_prepared; /* of a PREPARE: cleared when the server did not do it */
};

enum { PENDING_MAX = 4096, UNFLUSHED_MAX = 1024 };

struct postgres {
    struct target target; /* first */
    struct postgres_options options;
    char *name;         /* owned: options.application_name */
    char *position_sql; /* owned: of the keeper */
    bool is_replica;    /* session_replication_role is */
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
    uint64_t collisions[COLLISION_COUNT]; /* of the group: counted once it has committed */
    struct destination *refused;          /* whose set did not fit; sets.c */
    struct arena *arena;                  /* of the sets in hand */
    struct row_array news, olds;          /* their parameters */

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

/* set_statement.c: the statement for rows of that kind and those columns (NULL: all). */
struct set_statement *set_statement_find(struct postgres *pg, struct destination *destination,
                                         enum set_kind kind, const bool *is_known);
void set_statement_free(struct set_statement **statement);

/* sets.c */

/* Whether a group is to be tried by sets at all. */
bool sets_begin(struct postgres *pg, const struct group *group, bool *ret_is_wanted,
                struct err *err);
/* Applies the changes by sets. *ret_is_refused: the target did not take them so; nothing of them is
 * done, and they are to be applied in their order. */
bool sets_apply(struct postgres *pg, const struct group *group, bool *ret_is_refused,
                struct err *err);

/* conflict.c */

/* Whether the answer is one that the policy lets pass; what did not fit is counted and told. */
bool conflict_judge(struct postgres *pg, const struct pending *pending,
                    const struct pipe_answer *answer, struct err *err);
/* Makes err of the server's refusal of a change (or of BEGIN and the like). Always false. */
bool conflict_reject(struct postgres *pg, const struct pending *pending, const struct err *why,
                     struct err *err);
/* The group has committed. */
void conflict_count(struct postgres *pg);

/* describe.c: "schema.table (id = 5)", with the key of the row; owned by the caller. */
char *change_describe(const struct destination *destination, const struct change *change);

/* load.c */
bool postgres_part_begin(struct target *target, const struct part_target *part, struct err *err);
bool postgres_part_rows(struct target *target, const char *raw, size_t len, struct err *err);
bool postgres_part_commit(struct target *target, int64_t *ret_rows, struct err *err);
bool postgres_part_abort(struct target *target, struct err *err);

/* apply.c */

/* Sending: room is made, answers that are there are judged. */
bool apply_send_sql(struct postgres *pg, const char *sql, struct err *err);
bool apply_send_change(struct postgres *pg, const struct change *change, struct err *err);
bool apply_send_set(struct postgres *pg, struct destination *destination,
                    struct set_statement *statement, int64_t rows, struct err *err);
/* All answers are read; pg->refused says whether a set was refused. */
bool apply_drain(struct postgres *pg, struct err *err);
/* The same, and the pipeline takes commands again after an error. */
bool apply_recover(struct postgres *pg, struct err *err);

/* position becomes durable when the target has flushed its WAL up to `wal`, an insert position. */
void postgres_note_committed(struct postgres *pg, const struct position *position, uint64_t wal);
bool postgres_apply(struct target *target, const struct group *group, struct err *err);
bool postgres_flushed(struct target *target, int timeout_ms, struct position *ret_durable,
                      struct err *err);
