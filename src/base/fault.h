/* Fault points: named places at which a test makes the program die, fail, wait or lose a
 * connection. Compiled in by the build option fault_points only; otherwise free of cost.
 *
 * Armed through the environment: TRUNKLINE_FAULT="name=action[:arg][@n][,name=action…]"
 *   kill          kill -9 of this process
 *   error         fault_point() returns false with ERR_FATAL
 *   disconnect    fault_point() returns false with ERR_RETRY, as a lost connection does
 *   full          the same with SQLSTATE 53100, as a full disk does
 *   delay:MS      waits MS milliseconds
 *   wait:FILE     waits until FILE exists; creates FILE.reached first, so that a test knows
 * @n: at the n-th passage only (from 1); without it: at the first, once. @*: at every one.
 *
 * TRUNKLINE_FAULT_LIMIT_MS: in place of each bound that asks fault_limit_ms(), for tests that would
 * have to wait for its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#ifdef FAULT_POINTS
bool fault_point(const char *name, struct err *err) MUST_USE;
int64_t fault_limit_ms(int64_t own);
#else
static inline bool fault_point(const char *name UNUSED, struct err *err UNUSED)
{
    return true;
}

static inline int64_t fault_limit_ms(int64_t own)
{
    return own;
}
#endif

/* Prints the names that the program knows, one a line, from fault.def. */
void fault_list(void);
