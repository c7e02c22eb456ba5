/* The questions behind facts.c. Each gives kind, catalog, oid, a, b. */
#pragma once

/* $1, $2: catalogs and oids of the dump's entries. */
extern const char facts_objects_sql[];

/* The same parameters. */
extern const char facts_grants_sql[];

/* No parameters. */
extern const char facts_roles_sql[];

/* $1: oids of the selected tables; $2: the keeper's schema. */
extern const char facts_selection_sql[];
