/* An array of a table's row type, as a parameter: from wire bytes, unparsed.
 * Binary: PostgreSQL's array_send and record_send (src/backend/utils/adt). Text: its array and row
 * literals ("Array Input and Output Syntax", "Composite Type Input and Output Syntax"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "change/value.h"

struct row_column;

struct row_array {
    struct buf bytes;
    struct buf row; /* text: the row in hand */
    uint32_t count;
    bool is_text;
};

void row_array_release(struct row_array *array);

void row_array_begin(struct row_array *array, uint32_t row_type_oid, bool is_text);

/* values by column of the relation; those that are unchanged, or not in `only` (NULL: all are),
 * become NULL. Every other value must be NULL or of the array's format. */
void row_array_add(struct row_array *array, const struct row_column *row, size_t row_count,
                   const struct value *values, const bool *only);

/* Completes it: bytes.data is the parameter, ended by a NUL that its length does not count. */
void row_array_end(struct row_array *array);
