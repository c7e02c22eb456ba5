/* Column values as they travel: slices of bytes that are never decoded on the way. */
#pragma once

#include <stdint.h>

enum value_kind {
    VALUE_NULL,
    VALUE_UNCHANGED, /* a TOASTed value that the update did not touch: the stream lacks it */
    VALUE_TEXT,
    VALUE_BINARY,
};

struct value {
    const char *data; /* borrowed: the batch's arena, or the message; not NUL-terminated */
    uint32_t len;
    enum value_kind kind;
};

struct tuple {
    uint16_t count;
    struct value *values; /* borrowed as above; in the order of the relation's columns */
};
