/* Heap memory that never fails: out of memory aborts with a message. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/macros.h"

void *mem_alloc(size_t size) MUST_USE;                              /* zeroed */
void *mem_resize(void *take_p, size_t count, size_t size) MUST_USE; /* checks count * size */
char *str_dup(const char *text) MUST_USE;                           /* NULL gives NULL */
char *str_dup_n(const char *text, size_t len) MUST_USE;
char *str_fmt(const char *fmt, ...) PRINTF(1, 2) MUST_USE;

/* Replaces *text by take_value, freeing what it held. */
void str_set(char **text, char *take_value);

/* Clean-up handler for AUTO: frees a string (or any heap block behind a char pointer). */
void str_free(char **text);

/* Overwrites a secret before it is freed. */
void str_wipe(char **text);
