/* Both catalogs as two sorted streams of facts, read side by side. Owner: one thread.
 * Memory: a bounded number of rows a side, whatever the catalogs' size. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "verify/pair.h"

/* What a fact's flags say, a letter each. */
enum fact_flag {
    FACT_INCLUDED = 'c',  /* the object's own `make` makes it as well */
    FACT_INHERITED = 'i', /* it comes and goes with the parent table's */
    FACT_NOTE = 'N',      /* a difference is worth a note only */
    FACT_GRANT = 'n',     /* to somebody by name: worth a note when only the target has it */
    FACT_NO_EXTRA = 'x',  /* of no interest when only the target has it */
    FACT_KEPT = 'D',      /* never dropped to be made anew: rows and columns hang on it */
    FACT_UNMAKE = 'u',    /* the target's `unmake` must come before `make` */
    FACT_RETYPED = 'T',   /* a column's type: what reads the column must be dropped first */
    FACT_GENERATED = 'G', /* a column that is dropped and added */
    FACT_BOUND = 'B',     /* ties a table to its parent */
    FACT_VIEW = 'v',      /* a query, which versions print differently */
    FACT_LIST = 'l',      /* a list in its order; its members are facts too */
    FACT_POSITION = 's',  /* of a sequence: the target's may be ahead, not behind */
    FACT_DOWN = 'd',      /* of a descending one */
    FACT_KEYED = 'k',     /* a property whose first key is of an object that comes with it */
};

/* See schema_sql.h. Texts are borrowed until the stream moves on. */
struct fact {
    const char *class;
    const char *identity;
    const char *property;
    const char *value; /* never NULL */
    const char *make;
    const char *unmake;
    const char *keys;
    const char *flags;
    const char *lacking;
    int step;
    int rank;
};

bool fact_has(const struct fact *fact, enum fact_flag flag);
bool fact_is_object(const struct fact *fact); /* its existence */

struct fact_stream {
    struct pair *pair;        /* borrowed */
    struct rows *rows[SIDES]; /* owned */
    int row[SIDES];
    struct fact now[SIDES];
    bool is_there[SIDES]; /* false: that side is at its end */
};

#define FACT_STREAM_INIT ((struct fact_stream){0})

/* One snapshot a side, and the settings under which both say the same, until fact_stream_end(). */
bool fact_stream_begin(struct pair *pair, const char *keeper, struct err *err) MUST_USE;
bool fact_stream_end(struct pair *pair, struct err *err) MUST_USE;

/* Begins a question; the previous one must be closed. */
bool fact_stream_open(struct fact_stream *facts, struct pair *pair, const char *question,
                      struct err *err) MUST_USE;
bool fact_stream_close(struct fact_stream *facts, struct err *err) MUST_USE;
void fact_stream_release(struct fact_stream *facts); /* AUTO handler */

/* The next fact of both: the sides that have it in ret_facts, NULL for the other. Both NULL at the
 * end. fact_stream_advance() moves on from what was given. */
void fact_stream_peek(const struct fact_stream *facts, const struct fact *ret_facts[SIDES]);
bool fact_stream_advance(struct fact_stream *facts, const struct fact *given[SIDES],
                         struct err *err) MUST_USE;
