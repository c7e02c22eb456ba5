/* The single checks, by topic; check.c holds their order and what each of them needs. Each adds
 * findings. False: a query failed, or err is itself the finding. */
#pragma once

#include "base/buf.h"
#include "check/check.h"

/* Texts: from str_fmt() or quote_sql(), taken over. */
void check_error(struct check *check, const char *code, char *take_text, char *take_hint);
void check_warning(struct check *check, const char *code, char *take_text, char *take_hint);

/* The first few names of a list for a text, with all of them in a hint. */
struct names {
    struct buf text; /* "a, b and 3 more" once ended */
    struct buf sql;  /* what was added by names_add() as sql, joined by "; " */
    size_t count;
};

void names_add(struct names *names, const char *name, const char *sql);
const char *names_end(struct names *names); /* borrowed */
void names_release(struct names *names);    /* AUTO handler */

/* Whether this run copies rows, follows changes, makes the publication, copies the schema. */
bool check_copies(const struct check *check);
bool check_follows(const struct check *check);
bool check_publishes(const struct check *check);
bool check_makes_schema(const struct check *check);

/* Nothing of the pipeline is on the target yet but, perhaps, the keeper; or it starts anew. */
bool check_is_fresh(const struct check *check);

/* An engine of a pipeline of this name holds the slot. */
bool check_is_streaming(const struct check *check);

/* Whether its rows go to the table of its root (publish_via_root): the root stands for it. */
bool check_is_routed(const struct check *check, const struct table *table);

/* What an unfinished snapshot says of the table of that name; NULL: nothing. */
const struct keeper_table *check_unfinished(const struct check *check, const struct table *table);

/* The selected tables' OIDs as an array's text. Owned. */
char *check_oids(const struct check *check);

/* Each: bool check_X(struct check *check, struct err *err). */
typedef bool check_function(struct check *check, struct err *err);

/* servers.c */
check_function check_source_server, check_target_server, check_capacity, check_replication,
    check_same, check_snapshot_fix, check_plugins, check_encodings;

/* pooler.c; the last one adds the finding when that is why a connection was refused. */
check_function check_source_pooler, check_target_pooler;
bool pooler_refused(struct check *check, const char *what, const struct err *err);

/* state.c */
check_function check_load_keeper, check_keeper, check_resumable, check_slot, check_slot_use,
    check_init, check_bound, check_foreign, check_younger;

/* roles.c */
check_function check_replicates, check_readable, check_sequences, check_schema_usage, check_owners,
    check_source_create, check_target_create, check_source_timeouts, check_target_timeouts,
    check_row_security;

/* tables.c */
check_function check_patterns, check_partitions, check_identities, check_enum_hashes,
    check_root_keys, check_keys, check_unlogged;

/* target.c */
check_function check_target_rows, check_target_tables, check_target_rights, check_triggers;

/* extras.c: what the target's tables have beyond the source's, or instead of them */
check_function check_target_kinds, check_target_required;

/* publications.c */
check_function check_own_publication, check_other_publications;

/* features.c */
check_function check_features;

/* lacks.c */
check_function check_extensions, check_collations, check_roles, check_shut_tables;

/* cluster.c */
check_function check_tablespaces, check_labels, check_database_settings, check_extension_rows;

/* large_objects.c */
check_function check_large_objects;

/* types.c */
check_function check_types;

/* busy.c */
check_function check_transactions, check_prepared;
