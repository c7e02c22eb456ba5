/* One of our sessions on either server: what all of them have in common. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/stop.h"
#include "conf/settings.h"
#include "pg/conn.h"

struct side { /* all borrowed */
    bool is_source;
    bool is_raw; /* texts as the source's bytes, see conn.h */
    const char *application_name;
    const struct stop *stop; /* or NULL */
};

bool side_open(const struct settings *settings, const struct side *side, struct conn **ret_conn,
               struct err *err);
