/* Four sessions that write to the source while it is copied and followed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "demo/cluster.h"

enum { WRITER_COUNT = 4 };

struct writers; /* Shared: atomics; each writer's connection belongs to its thread. */

/* source is borrowed and outlives the writers. */
bool writers_start(const struct cluster *source, struct writers **ret_writers,
                   struct err *err) MUST_USE;

/* Ends the threads and waits for them, within one transaction's time. */
void writers_end(struct writers *writers);
void writers_free(struct writers **writers); /* AUTO handler: ends them first */

/* Commits of all writers together in a second, from now on; 0: as fast as they can. */
void writers_pace(struct writers *writers, int per_second);

/* Transactions that wrote something and committed; those that were rolled back on purpose. */
int64_t writers_commits(const struct writers *writers);
int64_t writers_rollbacks(const struct writers *writers);

/* False: a writer failed; err says how. */
bool writers_check(struct writers *writers, struct err *err) MUST_USE;
