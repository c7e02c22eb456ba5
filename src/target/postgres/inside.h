/* Inside src/target/postgres only: the target's state, and what its files do for each other. */
#pragma once

#include "pg/conn.h"
#include "base/arena.h"
#include "pg/lsn.h"
#include "pg/pipe.h"
#include "target/postgres/destination.h"
#include "target/postgres/postgres.h"
#include "target/postgres/row_array.h"

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
    int64_t fitting_rows;  /* that it must affect to fit; -1: it does not matter here */
    bool is_position;      /* the position row is moved */
    bool *ret_is_prepared; /* of a PREPARE: cleared when the server did not do it */
};

enum { PENDING_MAX = 4096, UNFLUSHED_MAX = 1024 };

struct position_params {
    char from[LSN_TEXT], to[LSN_TEXT];
};

struct postgres {
    struct target target; /* first */
    struct postgres_options options;
    char *name;         /* owned: options.application_name */
    char *position_sql; /* owned: of the keeper */
    bool is_position_prepared, is_strict_position_prepared;
    bool is_replica; /* session_replication_role is */
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
    uint64_t counts[CHANGE_TRUNCATE + 1];        /* changes applied and not counted yet */
    uint64_t collisions[COLLISION_COUNT];        /* of the group: counted once it has committed */
    uint64_t collisions_before[COLLISION_COUNT]; /* the savepoint of sets.c */
    bool is_by_sets;                             /* sets.c is at work: a misfit may be a refusal */
    struct destination *refused;                 /* whose set did not fit; sets.c */
    struct arena *arena;                         /* of the sets in hand */
    struct row_array news, olds;                 /* their parameters */

    /* durability */
    uint64_t wal_block_size;
    struct position durable;
    struct unflushed unflushed[UNFLUSHED_MAX];
    size_t unflushed_count;
};

/* postgres.c */
struct postgres *postgres_of(struct target *target);

/* sets.c */

/* Whether a group is to be tried by sets at all. */
bool sets_begin(struct postgres *pg, const struct group *group, bool *ret_is_wanted,
                struct err *err);
/* Applies the changes by sets. *ret_is_refused: the target did not take them so; nothing of them is
 * done, and they are to be applied in their order. */
bool sets_apply(struct postgres *pg, const struct group *group, bool *ret_is_refused,
                struct err *err);

/* quick.c */

/* Applies and commits a small group that allows it; *ret_is_done: it was one, and the server took
 * it. Else nothing of it is there. */
bool quick_apply(struct postgres *pg, const struct group *group, bool *ret_is_done,
                 struct err *err);
#define STRICT_SUFFIX "q" /* of prepared statements that fail unless they touch one row */

/* conflict.c */

/* Whether the answer is one that the policy lets pass; what did not fit is counted and told. */
bool conflict_judge(struct postgres *pg, const struct pending *pending,
                    const struct pipe_answer *answer, struct err *err);
/* Makes err of the server's refusal of a change (or of BEGIN and the like). Always false. */
bool conflict_reject(struct postgres *pg, const struct pending *pending, const struct err *why,
                     struct err *err);
/* The group has committed. */
void conflict_count(struct postgres *pg);

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

/* The parameters of one change for its statement; of the position's statement, in texts that
 * ret_texts keeps. */
bool apply_collect_params(const struct statement *statement, const struct change *change,
                          const struct destination *destination, struct pipe_params *params,
                          struct err *err);
void apply_collect_position(struct postgres *pg, const struct position *to,
                            struct position_params *ret_texts);
bool apply_enter_pipeline(struct postgres *pg, struct err *err);
bool apply_send_wal(struct postgres *pg, struct err *err);
/* Reads what apply_send_wal() and a sync behind a small group's bring. */
bool apply_finish_quick(struct postgres *pg, const struct position *position, bool is_done,
                        struct err *err);

/* position becomes durable when the target has flushed its WAL up to `wal`, an insert position. */
void postgres_note_committed(struct postgres *pg, const struct position *position, uint64_t wal);
void postgres_succeed(struct target *target, struct target *other);
bool postgres_apply(struct target *target, const struct group *group, struct err *err);
bool postgres_flushed(struct target *target, int timeout_ms, struct position *ret_durable,
                      struct err *err);
