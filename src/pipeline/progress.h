/* Progress of long work for a person at a terminal: one line on stderr, kept up to date. Without a
 * terminal nothing is shown: the log has a line a table. Owner: main thread. */
#pragma once

#include "conf/settings.h"
#include "metrics/metrics.h"

struct progress;

struct progress *progress_new(const struct settings *settings, const struct metrics *metrics);
void progress_show(struct progress *progress);
void progress_free(struct progress **progress); /* AUTO handler: clears the line */
