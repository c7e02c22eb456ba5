/* The table of contents of a dump, as `pg_restore -l` prints it, and the rules by which its
 * entries go to a stage or are left out. Pure: no server, no files.
 *
 * A line is "id; catalog oid DESC schema tag owner". Names may hold spaces, and line ends come as
 * spaces, so a line is never split further than DESC: objects are told by catalog and OID, or by
 * the entries that an entry depends on (`-v` prints them). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "schema/schema.h"

enum toc_kind {
    TOC_OTHER, /* whatever needs no special treatment */
    TOC_ACL,
    TOC_COMMENT,
    TOC_DEFAULT,
    TOC_DEFAULT_ACL,
    TOC_EVENT_TRIGGER,
    TOC_EXTENSION,
    TOC_FK,
    TOC_INDEX,
    TOC_INDEX_ATTACH,
    TOC_POLICY,
    TOC_PUBLICATION,
    TOC_ROW_SECURITY,
    TOC_RULE,
    TOC_SECURITY_LABEL,
    TOC_SEQUENCE_OWNED_BY,
    TOC_SHELL_TYPE,
    TOC_SUBSCRIPTION,
    TOC_TABLE,
    TOC_TABLE_ATTACH,
    TOC_TRIGGER,
    TOC_TYPE,
    TOC_USER_MAPPING,
};

/* The entries of a stage are restored in passes, one after the other. */
enum toc_pass {
    PASS_SCHEMAS, /* with rights: an object can be given only to who may create in its schema */
    PASS_MAIN,
    PASS_ATTACH, /* of indexes to a parent's, one at a time: each may make parents valid */
    PASS_STATES, /* of triggers that come with a parent's: pg_dump does not say that they do */
};

struct toc_entry {
    int id;
    uint32_t catalog; /* 0: the entry is no object of its own */
    uint32_t oid;
    enum toc_kind kind;
    char *line;       /* owned: as pg_restore printed it */
    const char *rest; /* borrowed: line; what follows DESC */
    int *deps;        /* owned: ids; may name entries that are not in the list */
    size_t dep_count;
    bool is_after_rows; /* post-data */
    enum schema_stage stage;

    /* From the source's catalog (facts.h). Texts are borrowed from there. */
    const char *type;
    const char *identity;  /* as pg_identify_object() has it; NULL for catalog 0 */
    bool is_left_out;      /* by selection, or of a kind that is never copied */
    bool is_part_of_table; /* with is_left_out: goes without saying */
    bool is_repeatable;    /* works on an object that exists */
    bool is_populated;     /* a materialised view that holds data */
    bool is_powerful;      /* a function that may do more than who calls it */
    enum toc_pass pass;

    /* From the target's catalog (present.h). */
    bool is_present;
    bool is_invalid;       /* an index that must be built again */
    bool is_unpopulated;   /* a materialised view without data */
    char *parent_identity; /* owned: what it is a partition of; or NULL */
    char *grants;          /* owned: SQL in place of entries with its privileges; or NULL */
    char *policy;          /* owned: SQL in place of its entry, for a part of its roles; or NULL */
};

struct toc {
    struct toc_entry *items; /* in the order of the dump */
    size_t count;
    size_t *by_id; /* owned: index + 1 of the entry with this id; 0: none */
    size_t id_limit;
};

#define TOC_INIT ((struct toc){0})

/* From the three listings: -l -v (all, with dependencies), and -l of either section. */
bool toc_parse(const char *verbose, const char *before_rows, const char *after_rows,
               struct toc *ret_toc, struct err *err);
void toc_release(struct toc *toc); /* AUTO handler */

/* NULL when the list has no such entry. */
struct toc_entry *toc_find(const struct toc *toc, int id);

/* Gives each entry its stage and pass. After the facts are known. */
void toc_assign_stages(struct toc *toc);

/* When the privileges on an object are given. */
enum schema_stage toc_rights_stage(const struct toc_entry *object);

/* Leaves out what is never copied, and what hangs on entries that are left out. Repeatable. */
void toc_leave_out(struct toc *toc);

/* Leaves out the relations of the source named as "oid,oid" (NULL: none), with all that is part of
 * them, or points to them by a foreign key: that is said in warnings. After the others. */
void toc_leave_alone(struct toc *toc, const char *oids, struct strv *warnings);

/* Whether the entry is to be restored: not left out, not there yet or repeatable. */
bool toc_wants(const struct toc *toc, const struct toc_entry *entry);

/* The lines to restore in a pass of a stage, for pg_restore -L; "" when there are none. */
void toc_write_list(const struct toc *toc, enum schema_stage stage, enum toc_pass pass,
                    struct buf *list);
