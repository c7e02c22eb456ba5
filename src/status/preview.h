/* `trunkline plan`: what a run with these settings would copy and make, and what it would leave
 * out. Reads both servers and changes nothing on either. Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/strv.h"
#include "conf/settings.h"
#include "pg/catalog.h"

/* What becomes of a table's changes. */
enum preview_changes {
    CHANGES_ALL,
    CHANGES_FULL,        /* all, after REPLICA IDENTITY FULL is set */
    CHANGES_INSERT_ONLY, /* INSERT and TRUNCATE */
    CHANGES_UNLOGGED,    /* none: they are not in the WAL */
    CHANGES_UNPUBLISHED, /* none: the user's publication does not carry it */
    CHANGES_REFUSED,     /* the run would refuse to start */
    CHANGES_NONE,        /* a snapshot follows nothing */
};

/* What becomes of the rows that the source holds now. */
enum preview_rows { ROWS_COPIED, ROWS_PRESENT /* copied already */, ROWS_LEFT };

struct preview_table {
    const struct table *table; /* borrowed: preview->tables */
    enum preview_rows rows;
    enum preview_changes changes;
    int parts;       /* 0: no rows are copied */
    bool is_binary;  /* COPY's format */
    char *why_text;  /* owned; NULL when binary */
    bool is_present; /* the target has the table */
};

/* Something that is not copied, or only in part, and why. */
struct preview_left_out {
    char *name; /* owned */
    char *why;  /* owned */
};

/* Something that would be made, or is there already. */
struct preview_object {
    const char *server; /* "source" or "target" */
    const char *kind;   /* "slot", "publication", "schema", "extension", "replica identity full" */
    char *name;         /* owned */
    bool is_present;
};

/* How many other objects the schema copy would make. */
struct preview_count {
    const char *kind; /* "index", "foreign key", … */
    int64_t count;
};

enum { PREVIEW_COUNTS_MAX = 12 };

struct preview {
    const struct settings *settings; /* borrowed */
    char *slot_name;                 /* owned; NULL: a snapshot has none */
    struct table_list tables;        /* all of the source */
    struct preview_table *items;     /* owned: the selected ones that hold rows themselves */
    size_t count;
    struct preview_left_out *left_out; /* owned */
    size_t left_out_count;
    struct preview_object *objects; /* owned */
    size_t object_count;
    struct preview_count counts[PREVIEW_COUNTS_MAX];
    size_t count_count;
    int64_t bytes; /* of the rows that would be copied, as the source stores them */
    int64_t parts;
    int copiers;
    int64_t part_bytes;
};

/* Refuses (ERR_CONFIG) patterns that cover nothing. Release it in any case. */
bool preview_read(const struct settings *settings, struct preview *ret, struct err *err) MUST_USE;
void preview_release(struct preview *preview); /* AUTO handler */

const char *preview_rows_name(enum preview_rows rows);
const char *preview_changes_name(enum preview_changes changes);

void preview_print(const struct preview *preview, FILE *out);
void preview_print_json(const struct preview *preview, FILE *out);
