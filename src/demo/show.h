/* What the demo tells while it works, on stderr. Owner: main thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "conf/settings.h"

struct show {
    int64_t start_ms;
    int64_t progress_ms; /* when the last line of progress was printed */
    enum progress_mode mode;
    bool is_terminal;
    bool has_line; /* the cursor stands behind a line of progress */
};

void show_init(struct show *show, enum progress_mode mode);

double show_seconds(const struct show *show);

/* A line that stays. */
void show_step(struct show *show, const char *fmt, ...) PRINTF(2, 3);

/* On a terminal one line that is written over again and again, else a line now and then. */
void show_progress(struct show *show, const char *fmt, ...) PRINTF(2, 3);

/* Takes the line of progress away. */
void show_clear(struct show *show);
