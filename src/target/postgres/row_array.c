/* See row_array.h. */
#include "target/postgres/row_array.h"

#include <endian.h>
#include <string.h>

#include "target/postgres/destination.h"

enum { COUNT_AT = 12, NULL_LENGTH = 0xFFFFFFFF };

void row_array_release(struct row_array *array)
{
    buf_release(&array->bytes);
    buf_release(&array->row);
}

void row_array_begin(struct row_array *array, uint32_t row_type_oid, bool is_text)
{
    array->count = 0;
    array->is_text = is_text;
    buf_reset(&array->bytes);
    if (is_text) {
        buf_putc(&array->bytes, '{');
        return;
    }
    buf_put_u32(&array->bytes, 1); /* dimensions */
    buf_put_u32(&array->bytes, 0); /* no element is NULL */
    buf_put_u32(&array->bytes, row_type_oid);
    buf_put_u32(&array->bytes, 0); /* elements: known at the end */
    buf_put_u32(&array->bytes, 1); /* lower bound */
}

static const struct value *find_value(const struct row_column *column, const struct value *values,
                                      const bool *only)
{
    if (!column->is_sent || (only && !only[column->column]))
        return NULL;
    const struct value *value = &values[column->column];
    return value->kind == VALUE_TEXT || value->kind == VALUE_BINARY ? value : NULL;
}

static void put_u32_at(struct buf *bytes, size_t at, uint32_t number)
{
    uint32_t wire = htobe32(number);
    memcpy(bytes->data + at, &wire, sizeof(wire));
}

static void add_binary(struct row_array *array, const struct row_column *row, size_t row_count,
                       const struct value *values, const bool *only)
{
    struct buf *bytes = &array->bytes;
    size_t start = bytes->len;
    buf_put_u32(bytes, 0); /* length of the row: known at the end */
    buf_put_u32(bytes, (unsigned)row_count);
    for (size_t i = 0; i < row_count; i++) {
        const struct value *value = find_value(&row[i], values, only);
        buf_put_u32(bytes, row[i].type_oid);
        buf_put_u32(bytes, value ? value->len : NULL_LENGTH);
        if (value)
            buf_add(bytes, value->data, value->len);
    }
    put_u32_at(bytes, start, (uint32_t)(bytes->len - start - sizeof(uint32_t)));
}

/* Quoted whole, with quotes and backslashes inside escaped. */
static void add_quoted(struct buf *out, const char *data, size_t len)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '"' || data[i] == '\\')
            buf_putc(out, '\\');
        buf_putc(out, data[i]);
    }
    buf_putc(out, '"');
}

static void add_text(struct row_array *array, const struct row_column *row, size_t row_count,
                     const struct value *values, const bool *only)
{
    buf_reset(&array->row);
    for (size_t i = 0; i < row_count; i++) {
        const struct value *value = find_value(&row[i], values, only);
        buf_putc(&array->row, i ? ',' : '(');
        if (value)
            add_quoted(&array->row, value->data, value->len);
    }
    buf_putc(&array->row, ')');
    if (array->count)
        buf_putc(&array->bytes, ',');
    add_quoted(&array->bytes, array->row.data, array->row.len);
}

void row_array_add(struct row_array *array, const struct row_column *row, size_t row_count,
                   const struct value *values, const bool *only)
{
    if (array->is_text)
        add_text(array, row, row_count, values, only);
    else
        add_binary(array, row, row_count, values, only);
    array->count++;
}

void row_array_end(struct row_array *array)
{
    if (array->is_text)
        buf_putc(&array->bytes, '}');
    else
        put_u32_at(&array->bytes, COUNT_AT, array->count);
}
