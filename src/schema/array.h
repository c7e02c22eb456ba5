/* SQL arrays as text parameters. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* Appends one element; the array begins as an empty buffer. NULL gives SQL's NULL. */
void array_add(struct buf *array, const char *text);
void array_add_oid(struct buf *array, uint32_t oid);

/* "{…}", borrowed until the next change. Nothing may be added after it. */
const char *array_end(struct buf *array);
