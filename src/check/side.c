/* Opening our sessions. See side.h. */
#include "check/side.h"

bool side_open(const struct settings *settings, const struct side *side, struct conn **ret_conn,
               struct err *err)
{
    struct conn_options options = {
        .url = side->is_source ? settings->source : settings->target,
        .what = side->is_source ? "source" : "target",
        .application_name = side->application_name,
        /* What we change must not wait for a standby that is not there; and rows of the source
         * come in their order on disk. */
        .extra_options = side->is_source ? "-c synchronous_commit=local "
                                           "-c max_parallel_workers_per_gather=0"
                                         : "-c synchronous_commit=local",
        .is_raw = side->is_raw,
        .connect_timeout_ms = (int)settings->connect_timeout_ms,
        .tcp_user_timeout_ms = (int)settings->tcp_user_timeout_ms,
        .stop = side->stop,
    };
    return conn_open(&options, ret_conn, err);
}
