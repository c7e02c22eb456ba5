/* Where in a source's history something stands. */
#pragma once

#include <stdint.h>

struct position {
    uint64_t epoch;   /* source cluster and slot, as the keeper numbers them */
    uint64_t lsn;     /* end LSN of the last transaction applied */
    uint64_t ordinal; /* change within the commit; 0 for targets with transactions */
};
