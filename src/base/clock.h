/* Time. */
#pragma once

#include <stdint.h>

int64_t clock_ms(void); /* monotonic milliseconds, from an arbitrary start */
int64_t clock_us(void); /* monotonic microseconds */

/* Microseconds since 2000-01-01 UTC: PostgreSQL's own time stamps. */
int64_t clock_pg_us(void);
