/* What verify found, for people or as JSON, and how far it is. Owner: one thread. */
#pragma once

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

/* A table has been compared. */
void report_table(struct report *report, const struct comparison *comparison);

/* The last words. failure: why it could not finish, or NULL. note: said beside differences, or
 * NULL. */
void report_end(struct report *report, const struct err *failure, const char *note);

/* Whether any table differed so far. */
bool report_found(const struct report *report);

/* ERR_RETRY when of some tables it could not be said whether they are equal. */
bool report_settled(const struct report *report, struct err *err) MUST_USE;
