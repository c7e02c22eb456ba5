/* What was given for settings at one level: in the file, in the environment, or as flags. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

struct given {
    size_t index; /* of the setting */
    char *name;   /* as it is spelled there: --pgurl, TRUNKLINE_SLOT, source.postgres.url */
    char *value;  /* may hold a password */
    char *where;  /* what a mistake in the value begins with: "my.env:3:5: TRUNKLINE_SLOT" */
    char *origin; /* "my.env:3 TRUNKLINE_SLOT" */
};

struct given_list {
    struct given *items; /* owned */
    size_t count;
};

#define GIVEN_LIST_INIT ((struct given_list){0})

void given_add(struct given_list *list, const struct given *take_given);
void given_list_release(struct given_list *list); /* AUTO handler */

/* The first that gives the setting something, or NULL. name: under that name alone; NULL: any. */
const struct given *given_find(const struct given_list *list, size_t index, const char *name);
