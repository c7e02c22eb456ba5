/* Sets of objects of one catalog, by key: "catalog.oid" or, for columns, "1259.oid.number". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct key_set {
    struct key *first; /* owned: a uthash table */
};

/* What must be dropped, and when: deepest first, then latest step first. */
struct key_drop {
    const char *sql; /* borrowed from the set; NULL: none */
    int depth;
    int step;
};

#define KEY_SET_INIT ((struct key_set){NULL})

void key_set_release(struct key_set *set); /* AUTO handler */

/* keys: separated by blanks, the object's own first. */
char *key_first(const char *keys) MUST_USE; /* owned by the caller */
bool key_set_has(const struct key_set *set, const char *key);
bool key_set_has_any(const struct key_set *set, const char *keys);
void key_set_add(struct key_set *set, const char *key);

/* Whether the set has changed: the key is new, or goes deeper than before. */
bool key_set_add_drop(struct key_set *set, const char *key, const struct key_drop *drop);

/* NULL when the key is not there. */
const struct key_drop *key_set_drop(const struct key_set *set, const char *key);

void key_set_each(const struct key_set *set, void (*visit)(const struct key_drop *, void *),
                  void *arg);
