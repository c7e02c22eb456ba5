/* Sets of keys: see schema_keys.h. */
#include "verify/schema_keys.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

struct key {
    UT_hash_handle hh;
    char *name; /* owned */
    char *sql;  /* owned; borrowed by drop */
    struct key_drop drop;
};

void key_set_release(struct key_set *set)
{
    struct key *key;
    struct key *next;
    HASH_ITER (hh, set->first, key, next) {
        HASH_DEL(set->first, key);
        free(key->name);
        free(key->sql);
        free(key);
    }
}

char *key_first(const char *keys)
{
    return str_dup_n(keys, strcspn(keys, " "));
}

static struct key *find(const struct key_set *set, const char *name, size_t len)
{
    struct key *key = NULL;
    HASH_FIND(hh, set->first, name, len, key);
    return key;
}

bool key_set_has(const struct key_set *set, const char *key)
{
    return find(set, key, strlen(key)) != NULL;
}

bool key_set_has_any(const struct key_set *set, const char *keys)
{
    while (*keys) {
        size_t len = strcspn(keys, " ");
        if (find(set, keys, len))
            return true;
        keys += len + (keys[len] == ' ');
    }
    return false;
}

static struct key *add(struct key_set *set, const char *name)
{
    struct key *key = mem_alloc(sizeof(*key));
    key->name = str_dup(name);
    HASH_ADD_KEYPTR(hh, set->first, key->name, strlen(key->name), key);
    return key;
}

void key_set_add(struct key_set *set, const char *key)
{
    if (!key_set_has(set, key))
        (void)add(set, key);
}

bool key_set_add_drop(struct key_set *set, const char *key, const struct key_drop *drop)
{
    struct key *known = find(set, key, strlen(key));
    if (known && known->drop.depth >= drop->depth)
        return false;
    if (!known)
        known = add(set, key);
    str_set(&known->sql, str_dup(drop->sql));
    known->drop = (struct key_drop){known->sql, drop->depth, drop->step};
    return true;
}

const struct key_drop *key_set_drop(const struct key_set *set, const char *key)
{
    const struct key *known = find(set, key, strlen(key));
    return known ? &known->drop : NULL;
}

void key_set_each(const struct key_set *set, void (*visit)(const struct key_drop *, void *),
                  void *arg)
{
    for (const struct key *key = set->first; key; key = key->hh.next)
        visit(&key->drop, arg);
}
