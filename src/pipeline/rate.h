/* A bound on how fast the copiers read together. Shared: lock. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"

struct rate;

/* bytes a second; 0: no bound, the result is NULL. */
struct rate *rate_new(int64_t bytes_per_second);
void rate_free(struct rate **rate); /* AUTO handler; NULL is allowed */

/* Accounts for bytes that were read, and waits until they are due. A NULL rate never waits. False
 * (ERR_STOP) when stop was raised. */
bool rate_spend(struct rate *rate, size_t bytes, const struct stop *stop, struct err *err);
