/* The hosts of a connection string, to be tried one after the other: libpq alone leaves the time
 * that each may take to its blocking calls. */
#pragma once

#include <stddef.h>

#include "base/strv.h"

/* As libpq pairs them: the nth of each list belongs together. A list is empty when the string does
 * not have it. */
struct hosts {
    size_t count; /* at least 1; 1: the lists are empty, the string says all */
    struct strv names;
    struct strv addresses;
    struct strv ports;
    char *attributes; /* owned; target_session_attrs, NULL when not given */
};

/* Several hosts that libpq would read in another way (lists of unequal length, empty names) count
 * as one: it has the word then. */
void hosts_read(const char *url, struct hosts *ret_hosts);
void hosts_release(struct hosts *hosts); /* AUTO handler */

/* Of one host; NULL: the string's own holds. Borrowed. */
const char *hosts_name(const struct hosts *hosts, size_t i);
const char *hosts_address(const struct hosts *hosts, size_t i);
const char *hosts_port(const struct hosts *hosts, size_t i);
