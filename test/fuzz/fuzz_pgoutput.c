/* Fuzzes the pgoutput decoder. First byte: the decoder's state; the rest: one message, in a block
 * of its own size. What is taken must lie within the message, and be a failure when cut by one. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "source/pgoutput.h"

enum { PROTOCOL_BITS = 3, PARALLEL_BIT = 4, IN_STREAM_BIT = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tuple(const struct tuple *tuple, const char *start, size_t len)
{
    for (uint16_t i = 0; i < tuple->count; i++) {
        const struct value *value = &tuple->values[i];
        if (value->kind == VALUE_TEXT || value->kind == VALUE_BINARY)
            assert(value->data >= start && value->data + value->len <= start + len);
        else
            assert(value->len == 0);
    }
}

static void check_message(const struct pgoutput_message *message, const char *start, size_t len)
{
    check_tuple(&message->old, start, len);
    check_tuple(&message->new, start, len);
    assert(message->truncate_count <= len / sizeof(uint32_t));
    assert(message->content_len <= len);
    for (uint16_t i = 0; i < message->column_count; i++)
        assert(strlen(message->columns[i].name) < len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct pgoutput_decoder before = {.protocol = 1 + (data[0] & PROTOCOL_BITS),
                                            .is_parallel = (data[0] & PARALLEL_BIT) != 0,
                                            .is_in_stream = (data[0] & IN_STREAM_BIT) != 0};
    size_t len = size - 1;
    AUTO(str_free) char *copy = malloc(len ? len : 1);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct pgoutput_decoder decoder = before;
    struct pgoutput_message message;
    struct err err = {0};
    memcpy(copy, data + 1, len);
    if (!pgoutput_decode(&decoder, copy, len, arena, &message, &err)) {
        assert(err.kind == ERR_FATAL && err.text[0]);
        return 0;
    }
    check_message(&message, copy, len);
    decoder = before;
    assert(!pgoutput_decode(&decoder, copy, len - 1, arena, &message, &err));
    return 0;
}
