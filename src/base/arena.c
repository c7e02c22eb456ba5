/* Arena: a list of blocks that only grows until it is reset as a whole. See arena.h.
 *
 * Blocks of the standard size are filled by one thread and freed by another all the time; some are
 * kept for the next to take: to get them from the system anew costs a page fault for each 4 KiB. */
#include "base/arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 256 * 1024, ALIGN = 8 };
#ifdef __SANITIZE_ADDRESS__
enum { SPARE_MAX = 0 }; /* memory that is used after it was freed is to be noticed */
#else
enum { SPARE_MAX = 32 };
#endif

struct block {
    struct block *next;
    size_t size;
    size_t used;
    char data[] __attribute__((aligned(ALIGN)));
};

struct arena {
    struct block *head;
    size_t used;
};

static struct {
    pthread_mutex_t mutex;
    struct block *first;
    int count;
} spare = {.mutex = PTHREAD_MUTEX_INITIALIZER}; /* never freed */

static struct block *spare_take(void)
{
    (void)pthread_mutex_lock(&spare.mutex);
    struct block *block = spare.first;
    if (block) {
        spare.first = block->next;
        spare.count--;
    }
    (void)pthread_mutex_unlock(&spare.mutex);
    return block;
}

static bool spare_keep(struct block *block)
{
    (void)pthread_mutex_lock(&spare.mutex);
    bool is_kept = spare.count < SPARE_MAX;
    if (is_kept) {
        block->next = spare.first;
        spare.first = block;
        spare.count++;
    }
    (void)pthread_mutex_unlock(&spare.mutex);
    return is_kept;
}

static struct block *block_new(size_t size, struct block *next)
{
    struct block *block = size == BLOCK_BYTES ? spare_take() : NULL;
    if (!block)
        block = mem_resize(NULL, 1, sizeof(*block) + size);
    block->next = next;
    block->size = size;
    block->used = 0;
    return block;
}

static void block_free(struct block *block)
{
    if (block->size != BLOCK_BYTES || !spare_keep(block))
        free(block);
}

struct arena *arena_new(void)
{
    struct arena *arena = mem_alloc(sizeof(*arena));
    arena->head = block_new(BLOCK_BYTES, NULL);
    return arena;
}

void arena_reset(struct arena *arena)
{
    /* The oldest block is always of the standard size: keep that one. */
    while (arena->head->next) {
        struct block *gone = arena->head;
        arena->head = gone->next;
        block_free(gone);
    }
    arena->head->used = 0;
    arena->used = 0;
}

void arena_free(struct arena **arena)
{
    if (!*arena)
        return;
    arena_reset(*arena);
    block_free((*arena)->head);
    free(*arena);
    *arena = NULL;
}

static void *take(struct arena *arena, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (arena->head->size - arena->head->used < size)
        arena->head = block_new(MAX_OF(size, (size_t)BLOCK_BYTES), arena->head);
    void *p = arena->head->data + arena->head->used;
    arena->head->used += size;
    arena->used += size;
    return p;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *p = take(arena, size);
    memset(p, 0, size);
    return p;
}

char *arena_copy(struct arena *arena, const void *data, size_t len)
{
    char *p = take(arena, len + 1);
    memcpy(p, data, len);
    p[len] = '\0';
    return p;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}
