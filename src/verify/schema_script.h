/* What differs between two catalogs, and the script that mends the target. In place. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

enum script_kind {
    SCRIPT_DIFFERENCE,
    SCRIPT_AGAIN, /* had to be dropped for another one's sake, and is made again */
    SCRIPT_NOTE,  /* no difference; its SQL is printed as a comment */
};

struct script_item {
    enum script_kind kind;
    char *class; /* owned, as all text up to make */
    char *identity;
    char *difference;
    char *drop;         /* SQL that is among the script's drops as well; or NULL */
    char *make;         /* SQL; NULL: there is none */
    const char *remark; /* what to look at before it is run; or NULL. Static. */
    bool is_comment;    /* make is not to be run as it stands */
    int step;
    int rank;
    size_t number; /* in the order of adding: set by script_add() */
};

struct script_drop;

struct script {
    struct script_item *items; /* owned */
    size_t count;
    size_t differences;
    size_t notes;
    struct script_drop *drops; /* owned */
    size_t drop_count;
};

#define SCRIPT_INIT ((struct script){0})

void script_release(struct script *script); /* AUTO handler */

/* Takes over the texts. */
void script_add(struct script *script, const struct script_item *take_item);

/* A drop for the beginning: the deepest first, then the latest step first. */
void script_add_drop(struct script *script, const char *sql, int depth, int step);

/* The script for psql, sorted; owned by the caller. */
char *script_text(struct script *script) MUST_USE;

/* The same for programs: a new reference. */
json_t *script_json(struct script *script) MUST_USE;
