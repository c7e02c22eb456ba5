/* Reads the engine's /metrics, as a monitoring system would. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metrics/metrics.h"

struct scrape {
    enum metrics_phase phase;
    int64_t rows;
    int64_t bytes;
    int64_t parts;
    int64_t parts_done;
    int64_t tables;
    int64_t tables_done;
    int64_t transactions;
    int64_t groups;
    int64_t applied_lsn;
    int64_t lag_bytes;
};

/* False: nobody answers on this port of 127.0.0.1 (yet); ret_scrape is left as it was. */
bool scrape_read(int port, struct scrape *ret_scrape);
