/* Heap memory that never fails. See mem.h. */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void NORETURN out_of_memory(size_t size)
{
    (void)fprintf(stderr, "trunkline: out of memory (%zu bytes)\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_resize(void *take_p, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        out_of_memory(SIZE_MAX);
    void *p = realloc(take_p, count * size > 0 ? count * size : 1);
    if (!p)
        out_of_memory(count * size);
    return p;
}

char *str_dup_n(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

char *str_dup(const char *text)
{
    return text ? str_dup_n(text, strlen(text)) : NULL;
}

char *str_fmt(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        out_of_memory(0);
    return text;
}

void str_set(char **text, char *take_value)
{
    free(*text);
    *text = take_value;
}

void str_free(char **text)
{
    free(*text);
    *text = NULL;
}

void str_wipe(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    str_free(text);
}
