/* A request to stop that wakes every thread waiting on a socket: an eventfd that, once raised,
 * stays readable. Shared: lock-free. */
#pragma once

#include <stdbool.h>

struct stop;

struct stop *stop_new(void);
void stop_free(struct stop **stop);
void stop_raise(struct stop *stop);
bool stop_raised(const struct stop *stop); /* NULL gives false */
int stop_fd(const struct stop *stop);      /* for poll(POLLIN); NULL gives -1 */

/* Waits up to timeout_ms. True: it was raised. */
bool stop_wait(const struct stop *stop, int timeout_ms);
