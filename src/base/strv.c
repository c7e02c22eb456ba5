/* List of owned strings. See strv.h. */
#include "base/strv.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

void strv_release(struct strv *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = STRV_INIT;
}

void strv_take(struct strv *list, char *take_text)
{
    list->items = mem_resize(list->items, list->count + 2, sizeof(*list->items));
    list->items[list->count++] = take_text;
    list->items[list->count] = NULL;
}

void strv_add(struct strv *list, const char *text)
{
    strv_take(list, str_dup(text));
}

bool strv_has(const struct strv *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

char *strv_join(const struct strv *list, const char *separator)
{
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            buf_puts(&out, separator);
        buf_puts(&out, list->items[i]);
    }
    return buf_take(&out);
}
