/* An arena: many small allocations, freed together. Owner: one thread at a time. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena **arena);

/* Forgets all allocations, keeps one block for the next use. */
void arena_reset(struct arena *arena);

/* Zeroed, aligned to 8. Never fails. The memory lives until reset or free. */
void *arena_alloc(struct arena *arena, size_t size) MUST_USE;

/* A copy of len bytes, with a NUL behind them that len does not count. */
char *arena_copy(struct arena *arena, const void *data, size_t len) MUST_USE;

/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *arena);
