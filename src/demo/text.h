/* Small text helpers of the demo. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/mem.h"

/* The last whole lines of a file, up to max_bytes; "" when it cannot be read. Owned by the
 * caller. */
char *text_tail(const char *path, size_t max_bytes) MUST_USE;

/* The last line of a file that is not empty; "" when there is none. Owned by the caller. */
char *text_last_line(const char *path) MUST_USE;

enum { TEXT_COUNT = 32 };

/* 1234567 as "1,234,567", into ret_text (TEXT_COUNT bytes), which is returned. */
const char *text_count(int64_t count, char ret_text[TEXT_COUNT]);

/* Bytes as "96.4 MB", the same way. */
const char *text_bytes(int64_t bytes, char ret_text[TEXT_COUNT]);
