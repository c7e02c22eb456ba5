/* Comparing sums and rows: see diff.h. Rows are matched by the hash of their key, 64 bits wide:
 * among the at most some 50,000 rows compared at a time two keys practically never share one. */
#include "verify/diff.h"

#include <stdlib.h>

#include "base/mem.h"

bool part_sum_equal(const struct part_sum *a, const struct part_sum *b)
{
    return a->rows == b->rows && a->sum == b->sum;
}

uint64_t checksum_parse(const char *text)
{
    if (!text)
        return 0;
    bool is_negative = *text == '-';
    uint64_t sum = 0;
    for (const char *digit = text + is_negative; *digit >= '0' && *digit <= '9'; digit++)
        sum = sum * 10 + (uint64_t)(*digit - '0');
    return is_negative ? 0 - sum : sum;
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_key(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    return a->key != b->key ? order(a->key, b->key) : order(a->value, b->value);
}

static int by_place(const void *left, const void *right)
{
    const struct finding *a = left;
    const struct finding *b = right;
    return a->place != b->place ? order(a->place, b->place) : (int)a->kind - (int)b->kind;
}

static void add_missing(struct finding_list *list, const struct entry *source)
{
    list->items[list->count++] = (struct finding){
        .kind = DIFFERENCE_MISSING,
        .key = source->key,
        .source_value = source->value,
        .place = source->place,
    };
}

static void add_extra(struct finding_list *list, const struct entry *target)
{
    list->items[list->count++] = (struct finding){
        .kind = DIFFERENCE_EXTRA,
        .key = target->key,
        .target_value = target->value,
        .place = target->place,
    };
}

static void add_changed(struct finding_list *list, const struct entry *source,
                        const struct entry *target)
{
    if (source->value == target->value)
        return;
    list->items[list->count++] = (struct finding){
        .kind = DIFFERENCE_CHANGED,
        .key = source->key,
        .source_value = source->value,
        .target_value = target->value,
        .place = source->place,
    };
}

void entries_compare(struct entry *source, size_t source_count, struct entry *target,
                     size_t target_count, struct finding_list *ret_findings)
{
    struct finding_list list = {0};
    list.items = mem_alloc((source_count + target_count + 1) * sizeof(*list.items));
    if (source_count)
        qsort(source, source_count, sizeof(*source), by_key);
    if (target_count)
        qsort(target, target_count, sizeof(*target), by_key);
    size_t s = 0;
    size_t t = 0;
    while (s < source_count || t < target_count) {
        if (t == target_count || (s < source_count && source[s].key < target[t].key))
            add_missing(&list, &source[s++]);
        else if (s == source_count || target[t].key < source[s].key)
            add_extra(&list, &target[t++]);
        else
            add_changed(&list, &source[s++], &target[t++]);
    }
    if (list.count)
        qsort(list.items, list.count, sizeof(*list.items), by_place);
    *ret_findings = list;
}

void finding_list_release(struct finding_list *list)
{
    free(list->items);
    *list = FINDING_LIST_INIT;
}
