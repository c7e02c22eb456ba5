/* SQL arrays as text: every element quoted. See array.h. */
#include "schema/array.h"

static void separate(struct buf *array)
{
    buf_putc(array, array->len ? ',' : '{');
}

void array_add(struct buf *array, const char *text)
{
    separate(array);
    if (!text) {
        buf_puts(array, "NULL");
        return;
    }
    buf_putc(array, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_putc(array, '\\');
        buf_putc(array, *text);
    }
    buf_putc(array, '"');
}

void array_add_oid(struct buf *array, uint32_t oid)
{
    separate(array);
    buf_fmt(array, "%u", oid);
}

const char *array_end(struct buf *array)
{
    buf_puts(array, array->len ? "}" : "{}");
    return buf_text(array);
}
