/* A list of values as they were found. See given.h. */
#include "conf/given.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void given_add(struct given_list *list, const struct given *take_given)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = *take_given;
}

void given_list_release(struct given_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct given *given = &list->items[i];
        str_free(&given->name);
        str_wipe(&given->value);
        str_free(&given->where);
        str_free(&given->origin);
    }
    free(list->items);
    *list = GIVEN_LIST_INIT;
}

const struct given *given_find(const struct given_list *list, size_t index, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct given *given = &list->items[i];
        if (given->index == index && *given->value && (!name || strcmp(given->name, name) == 0))
            return given;
    }
    return NULL;
}
