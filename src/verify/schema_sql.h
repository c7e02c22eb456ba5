/* The questions that verify --schema asks both servers. Each gives facts, a row each:
 *
 *   class     what kind of thing it is about, as the user is told
 *   identity  which one: names in full and in quotes, the same on both sides
 *   property  what of it; '' for its existence
 *   value     what is compared
 *   make      SQL that makes it so, or makes the object; NULL: there is none
 *   unmake    SQL that takes it away, or drops the object; NULL: there is none
 *   keys      "catalog.oid[.column]" of the object, then of what it is part of
 *   step, rank  where `make` stands in a script that runs in order
 *   flags     see fact_flag in schema_facts.h
 *   lacking   a role that `make` needs and the target has not got; NULL: none
 *
 * (class, identity, property) is unique. They mean the same on 14 to 18: settings of the session
 * (trunkline.roles: the target's roles; trunkline.common: the older server's version;
 * trunkline.keeper; trunkline.positions: of the sequences that were used and may be read;
 * quote_all_identifiers, since keywords differ) are made by fact_stream_begin(), and the search
 * path is empty. Catalogs are named by their fixed OIDs: 1247 pg_type, 1255 pg_proc, 1259
 * pg_class, 2604 pg_attrdef, 2606 pg_constraint, 2615 pg_namespace, 2618 pg_rewrite, 2620
 * pg_trigger, 3079 pg_extension, 3256 pg_policy, 3381 pg_statistic_ext. */
#pragma once

#include <stddef.h>

/* Precedes every question: the user's schemas, relations, types, functions, columns, indexes and
 * sequences; without extensions' members and keepers. */
extern const char schema_common_sql[];

/* In the order in which they must be asked: what is part of something comes after it. */
extern const char *const schema_questions[];
extern const size_t schema_question_count;

/* $1, $2, $3: catalog, oid, column (0: all) of an object of the target; $4: 'drop' if it is
 * dropped, else only its type changes. Gives key, depth, SQL of all that must be dropped first. */
extern const char schema_dependents_sql[];

extern const char schema_schemas_sql[];
extern const char schema_types_sql[];
extern const char schema_other_objects_sql[];
extern const char schema_tables_sql[];
extern const char schema_views_sql[];
extern const char schema_columns_sql[];
extern const char schema_sequences_sql[];
extern const char schema_constraints_sql[];
extern const char schema_indexes_sql[];
extern const char schema_functions_sql[];
extern const char schema_triggers_sql[];
extern const char schema_owners_sql[];
extern const char schema_grants_sql[];
extern const char schema_default_privileges_sql[];
extern const char schema_comments_sql[];
