/* See fold.h. An index by the bytes of the key holds the rows that are there after the changes so
 * far; a row that went away keeps its place in the list only. */
#include "change/fold.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/macros.h"
#include "base/mem.h"

struct entry {
    struct fold_row row; /* first */
    struct value *own;   /* row.values, when they are not a change's */
    const char *key;     /* now */
    size_t key_len;
    const char *old_key; /* before; NULL when inserted here */
    size_t old_len;
    UT_hash_handle hh;
};

struct fold {
    struct arena *arena;             /* borrowed */
    const struct relation *relation; /* borrowed */
    const bool *is_key;              /* borrowed; NULL: no row is met twice */
    struct entry *present;           /* by key */
    struct fold_row *first, *last;
};

struct fold *fold_new(struct arena *arena, const struct relation *relation, const bool *is_key)
{
    struct fold *fold = mem_alloc(sizeof(*fold));
    *fold = (struct fold){.arena = arena, .relation = relation, .is_key = is_key};
    return fold;
}

void fold_free(struct fold **fold)
{
    if (!*fold)
        return;
    HASH_CLEAR(hh, (*fold)->present);
    free(*fold);
    *fold = NULL;
}

/* Bytes, kind and length of each key column: read backwards they are unique, read forwards they
 * sort neighbours together. False: one of them is not known, or there is none. */
static bool take_key(const struct fold *fold, const struct value *values, const char **ret_key,
                     size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; fold->is_key && i < fold->relation->column_count; i++) {
        if (!fold->is_key[i])
            continue;
        if (values[i].kind == VALUE_UNCHANGED)
            return false;
        len += 1 + sizeof(uint32_t) + (values[i].kind == VALUE_NULL ? 0 : values[i].len);
    }
    if (len == 0)
        return false;
    char *key = arena_alloc(fold->arena, len);
    char *at = key;
    for (size_t i = 0; i < fold->relation->column_count; i++) {
        if (!fold->is_key[i])
            continue;
        uint32_t bytes = values[i].kind == VALUE_NULL ? 0 : values[i].len;
        if (bytes)
            memcpy(at, values[i].data, bytes);
        at += bytes;
        *at++ = (char)values[i].kind;
        memcpy(at, &bytes, sizeof(bytes));
        at += sizeof(bytes);
    }
    *ret_key = key;
    *ret_len = len;
    return true;
}

static struct entry *find(struct fold *fold, const char *key, size_t len)
{
    struct entry *found = NULL;
    HASH_FIND(hh, fold->present, key, len, found);
    return found;
}

/* old: of a row that is there before, under old_key; NULL: it is inserted. */
static struct entry *add_entry(struct fold *fold, const struct value *old, const char *old_key,
                               size_t old_len)
{
    struct entry *entry = arena_alloc(fold->arena, sizeof(*entry));
    entry->row.old = old;
    entry->old_key = old_key;
    entry->old_len = old_len;
    if (fold->last)
        fold->last->next = &entry->row;
    else
        fold->first = &entry->row;
    fold->last = &entry->row;
    return entry;
}

/* False when a row with this key is there already. */
static bool put_in(struct fold *fold, struct entry *entry, const char *key, size_t len)
{
    if (find(fold, key, len))
        return false;
    entry->key = key;
    entry->key_len = len;
    HASH_ADD_KEYPTR(hh, fold->present, entry->key, entry->key_len, entry);
    return true;
}

static bool add_insert(struct fold *fold, const struct change *change)
{
    const char *key = NULL;
    size_t len = 0;
    for (size_t i = 0; i < change->new.count; i++) /* a row filter's doing */
        if (change->new.values[i].kind == VALUE_UNCHANGED)
            return false;
    bool has_key = take_key(fold, change->new.values, &key, &len);
    struct entry *entry = add_entry(fold, NULL, NULL, 0);
    entry->row.values = change->new.values;
    if (!has_key) /* a table without one: every row is another */
        return true;
    return put_in(fold, entry, key, len);
}

static bool add_delete(struct fold *fold, const struct change *change)
{
    const char *key = NULL;
    size_t len = 0;
    if (!take_key(fold, change->old.values, &key, &len))
        return false;
    struct entry *entry = find(fold, key, len);
    if (entry)
        HASH_DEL(fold->present, entry);
    else
        entry = add_entry(fold, change->old.values, key, len);
    entry->row.is_gone = true;
    return true;
}

/* Values of the row that are not known yet, or changed, are the update's. An unchanged key column
 * of an update that sends its old key is in that key. */
static void merge(struct fold *fold, struct entry *entry, const struct change *change)
{
    size_t count = fold->relation->column_count;
    struct value *own = entry->own ? entry->own : arena_alloc(fold->arena, count * sizeof(*own));
    for (size_t i = 0; i < count; i++) {
        if (change->new.values[i].kind != VALUE_UNCHANGED)
            own[i] = change->new.values[i];
        else if (entry->row.values)
            own[i] = entry->row.values[i];
        else if (fold->is_key[i] && change->old_kind != OLD_NONE)
            own[i] = change->old.values[i];
        else
            own[i].kind = VALUE_UNCHANGED;
    }
    entry->own = own;
    entry->row.values = own;
}

static bool has_unchanged(const struct change *change)
{
    for (size_t i = 0; i < change->new.count; i++)
        if (change->new.values[i].kind == VALUE_UNCHANGED)
            return true;
    return false;
}

static bool add_update(struct fold *fold, const struct change *change)
{
    const struct value *old =
        change->old_kind == OLD_NONE ? change->new.values : change->old.values;
    const char *key = NULL;
    const char *new_key = NULL;
    size_t len = 0;
    size_t new_len = 0;
    if (!take_key(fold, old, &key, &len))
        return false;
    struct entry *entry = find(fold, key, len);
    if (!entry) {
        entry = add_entry(fold, old, key, len);
        (void)put_in(fold, entry, key, len);
    }
    if (has_unchanged(change))
        merge(fold, entry, change);
    else
        entry->row.values = change->new.values;
    if (change->old_kind == OLD_NONE)
        return true;
    if (!take_key(fold, entry->row.values, &new_key, &new_len))
        return false;
    if (new_len == len && memcmp(new_key, key, len) == 0)
        return true;
    HASH_DEL(fold->present, entry);
    return put_in(fold, entry, new_key, new_len);
}

bool fold_add(struct fold *fold, const struct change *change)
{
    switch (change->kind) {
    case CHANGE_INSERT:
        return add_insert(fold, change);
    case CHANGE_UPDATE:
        return add_update(fold, change);
    case CHANGE_DELETE:
        return add_delete(fold, change);
    case CHANGE_BEGIN:
    case CHANGE_COMMIT:
    case CHANGE_TRUNCATE:
    case CHANGE_IDLE:
    case CHANGE_STREAM_START:
    case CHANGE_STREAM_STOP:
    case CHANGE_STREAM_COMMIT:
    case CHANGE_STREAM_ABORT:
        return false;
    }
    return false;
}

const struct fold_row *fold_first(const struct fold *fold)
{
    return fold->first;
}

enum fold_kind fold_kind_of(const struct fold_row *row)
{
    const struct entry *entry = (const struct entry *)row; /* first member */
    if (row->is_gone)
        return row->old ? FOLD_DELETE : FOLD_NOTHING;
    if (!row->old)
        return FOLD_INSERT;
    bool is_same =
        entry->key_len == entry->old_len && memcmp(entry->key, entry->old_key, entry->key_len) == 0;
    return is_same ? FOLD_UPDATE : FOLD_MOVE;
}

/* --- the rows of a kind --- */

static int compare_rows(const void *left, const void *right)
{
    const struct entry *a = *(const struct entry *const *)left;
    const struct entry *b = *(const struct entry *const *)right;
    int order = memcmp(a->old_key, b->old_key, MIN_OF(a->old_len, b->old_len));
    return order ? order : (a->old_len > b->old_len) - (a->old_len < b->old_len);
}

size_t fold_take(const struct fold *fold, enum fold_kind kind, bool by_key,
                 const struct fold_row ***ret_rows)
{
    size_t count = 0;
    bool has_order = kind != FOLD_INSERT && by_key;
    bool is_sorted = true; /* a huge statement's rows often come so */
    for (const struct fold_row *row = fold->first; row; row = row->next)
        count += fold_kind_of(row) == kind;
    const struct fold_row **rows = arena_alloc(fold->arena, count * sizeof(*rows));
    count = 0;
    for (const struct fold_row *row = fold->first; row; row = row->next) {
        if (fold_kind_of(row) != kind)
            continue;
        rows[count++] = row;
        if (has_order && is_sorted && count > 1)
            is_sorted = compare_rows(&rows[count - 2], &rows[count - 1]) < 0;
    }
    if (!is_sorted)
        qsort(rows, count, sizeof(*rows), compare_rows);
    *ret_rows = rows;
    return count;
}
