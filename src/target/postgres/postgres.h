/* The PostgreSQL target. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "keeper/keeper.h"
#include "metrics/metrics.h"
#include "target/target.h"

struct postgres_options { /* everything borrowed, outlives the target */
    const char *url;
    const char *application_name; /* copied */
    struct keeper_ref keeper;
    const struct keeper_tables *tables; /* columns as copied; NULL for copiers */
    int connect_timeout_ms;
    int tcp_user_timeout_ms;
    const struct stop *stop;
    struct metrics *metrics;
};

/* Connects. session_replication_role is replica: user triggers and foreign keys do not act. */
bool postgres_open(const struct postgres_options *options, struct target **ret_target,
                   struct err *err);
