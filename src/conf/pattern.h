/* Table patterns as users write them: t (public.t), s.t, s.*, * (all of public), *.*, s.t_*.
 * Names fold to lower case unless in double quotes, where dots and stars are plain characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/strv.h"

struct pattern;

struct pattern_list {
    struct pattern *items; /* owned */
    size_t count;
};

#define PATTERN_LIST_INIT ((struct pattern_list){0})

/* Fails with ERR_CONFIG and the pattern's text. */
bool pattern_list_parse(const struct strv *texts, struct pattern_list *ret,
                        struct err *err) MUST_USE;
void pattern_list_release(struct pattern_list *list); /* AUTO handler */

/* Whether one of the patterns covers schema.table. An empty list covers everything. */
bool pattern_list_match(const struct pattern_list *list, const char *schema, const char *table);

/* The same, and remembers every pattern that covered it, for pattern_list_unmatched(). */
bool pattern_list_mark(struct pattern_list *list, const char *schema, const char *table);

/* Adds the texts of the patterns that no pattern_list_mark() was covered by. */
void pattern_list_unmatched(const struct pattern_list *list, struct strv *ret_texts);

/* Splits "a, s.*  \"x y\"" at commas and white space outside double quotes; appends. */
void pattern_split(const char *text, struct strv *ret_texts);
