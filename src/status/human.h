/* Inside src/status: what both reports need to show things to people. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"

/* Names come from the databases: control characters must not reach the terminal. Returns how many
 * characters were written (UTF-8 counted, not bytes), for alignment. */
int human_text(FILE *out, const char *text);

/* The same, filled up with spaces to a width. */
void human_padded(FILE *out, const char *text, int width);

/* "1.5 MiB", "2 h 5 min"; for people. Owned by the caller. */
char *human_bytes(int64_t bytes) MUST_USE;
char *human_seconds(int64_t seconds) MUST_USE;
