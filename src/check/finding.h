/* What a check has found: why a run refuses, or what is worth knowing before it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum finding_level { FINDING_ERROR, FINDING_WARNING };

struct finding {
    enum finding_level level;
    enum err_kind kind; /* what a run ends with, of errors */
    const char *code;   /* a constant: "wal_level" */
    char *text;         /* owned */
    char *hint;         /* owned: the SQL or the setting that mends it; SQL can be run as it is */
};

struct findings {
    struct finding *items;
    size_t count;
};

#define FINDINGS_INIT ((struct findings){0})

void findings_release(struct findings *findings); /* AUTO handler */

/* code is a constant; the texts are the list's from now on. */
void findings_add(struct findings *findings, enum finding_level level, const char *code,
                  char *take_text, char *take_hint);

/* An error value, which may end with a hint. */
void findings_add_err(struct findings *findings, const char *code, const struct err *err);

/* Moves the last one to the place index. */
void findings_move_last(struct findings *findings, size_t index);

size_t findings_count(const struct findings *findings, enum finding_level level);

/* The finding as an error value, cut to its size. Always returns false. */
bool finding_err(const struct finding *finding, struct err *err);
