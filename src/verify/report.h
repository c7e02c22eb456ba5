/* What verify found, for people or as JSON, and how far it is. Owner: one thread. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "pg/catalog.h"
#include "verify/compare.h"

struct report;

/* as_json: one document, written by report_end(). Else a line a table, at once. tables: those that
 * will be compared, for the width of the lines. progress: a terminal, or NULL. */
struct report *report_new(FILE *out, bool as_json, FILE *progress, const struct table_list *tables);
void report_free(struct report **report); /* AUTO handler */

/* Shows which table is at work. */
void report_progress(struct report *report, const struct table *table);

/* Shows that the target has to come so many bytes of WAL further. For struct follower. */
void report_wait(void *report, int64_t behind);

/* A table has been compared. */
void report_table(struct report *report, const struct comparison *comparison);

/* The catalogs have been compared. take_schema: for the document, or NULL. */
void report_schema(struct report *report, json_t *take_schema, bool is_different);

/* The last words. failure: why it could not finish, or NULL. note: said beside differences, or
 * NULL. */
void report_end(struct report *report, const struct err *failure, const char *note);

/* Whether any table differed so far. */
bool report_found(const struct report *report);

/* ERR_RETRY when of some tables it could not be said whether they are equal. */
bool report_settled(const struct report *report, struct err *err) MUST_USE;

/* A JSON string of a text from a database, which may be no UTF-8. */
json_t *json_text(const char *text);
