/* Sizes (64MiB, 64kB, 512) and durations (5s, 250ms, 2min), as text and as numbers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

/* What the text means, in ret; false when it is no such quantity or overflows. As in PostgreSQL,
 * k, M, G and T are powers of 1024 whatever stands behind them; without a unit: bytes. */
bool bytes_parse(const char *text, int64_t *ret) MUST_USE;

/* Milliseconds. A unit is required: ms, s, min, h, d; but 0 may stand alone. */
bool duration_parse(const char *text, int64_t *ret) MUST_USE;

bool int_parse(const char *text, int64_t *ret) MUST_USE;

/* The shortest exact text: 128MiB, 2min. Owned by the caller. */
char *bytes_text(int64_t bytes) MUST_USE;
char *duration_text(int64_t ms) MUST_USE;
