/* A list of owned strings. In place. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct strv {
    char **items; /* owned, with a NULL behind the last */
    size_t count;
};

#define STRV_INIT ((struct strv){0})

void strv_release(struct strv *list); /* AUTO handler */
void strv_add(struct strv *list, const char *text);
void strv_take(struct strv *list, char *take_text);
bool strv_has(const struct strv *list, const char *text);

/* Joined by separator; owned by the caller. */
char *strv_join(const struct strv *list, const char *separator);
