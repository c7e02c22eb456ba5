/* What the source's catalog says about the objects of a dump: kept beside the dump, because the
 * source may have changed by the time it is restored. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "schema/toc.h"

enum fact_kind {
    FACT_OBJECT = 'o',      /* a: type, b: identity, as pg_identify_object() */
    FACT_REPEATABLE = 'r',  /* its command works on an object that exists */
    FACT_POPULATED = 'p',   /* a materialised view with data */
    FACT_POWERFUL = 's',    /* a function that may do more than who calls it */
    FACT_LEFT_OUT = 'x',    /* by the selection; a: "part" when it is part of a left-out table */
    FACT_NOT_OWNED = 'd',   /* a sequence whose owner is left out */
    FACT_OWNER = 'O',       /* a: a role that owns something */
    FACT_GRANTEE = 'A',     /* a: a role that grants on the object name */
    FACT_GRANTOR = 'G',     /* a: a role as which a grant on the object must be repeated */
    FACT_MAINTAIN = 'M',    /* somebody has this privilege (of 17) and not just all of them */
    FACT_POLICY_ROLE = 'P', /* a: a role that the policy names */
    FACT_POLICY = 'c',      /* a: its SQL up to the roles, b: behind them; when it names some */
    FACT_MAPPING = 'U',     /* a: the tag of a user mapping, b: its role; "" for public */
    FACT_REVOKE = 'v',      /* a: SQL, what to take away first; b: from whom; "" for public */
    FACT_GRANT = 'g',       /* a: SQL of a single grant by the owner; b: to whom; "" for public */
    FACT_GRANT_MAINTAIN = 'm', /* the same, of that privilege */
    FACT_TABLESPACE = 'T',     /* a: its name */
    FACT_LABEL = 'L',          /* a: the provider of a security label of the object */
};

struct fact {
    enum fact_kind kind;
    uint32_t catalog; /* 0 when it is not about one object */
    uint32_t oid;
    const char *a; /* borrowed: facts->text */
    const char *b;
};

struct facts {
    char *text; /* owned: fields, each ended by NUL */
    size_t text_len;
    struct fact *items; /* owned; by kind, catalog, oid */
    size_t count;
};

#define FACTS_INIT ((struct facts){0})

/* Asks source about the entries of toc. selected NULL: all tables. A selected table that needs
 * one that is not selected: ERR_CONFIG. */
bool facts_ask(struct conn *source, const struct toc *toc, const struct table_list *selected,
               const char *keeper, struct facts *ret_facts, struct err *err);
void facts_release(struct facts *facts); /* AUTO handler */

/* The writer replaces the file at once or not at all. */
bool facts_save(const struct facts *facts, const char *path, struct err *err);
bool facts_load(const char *path, struct facts *ret_facts, struct err *err);

/* The first fact of this kind about this object; NULL when there is none. Borrowed from facts.
 * fact_next() gives the next one of the same kind and object, or NULL. */
const struct fact *facts_find(const struct facts *facts, enum fact_kind kind, uint32_t catalog,
                              uint32_t oid);
const struct fact *fact_next(const struct facts *facts, const struct fact *fact);

/* Fills in what the entries hold of it, then stages and what is left out. toc borrows from
 * facts. */
void facts_apply(const struct facts *facts, struct toc *toc);

/* For the log: what a selection leaves out besides tables and their parts. */
void facts_list_left_out(const struct toc *toc, struct strv *list);
