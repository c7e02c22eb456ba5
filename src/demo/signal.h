/* Ctrl-C and its kin as a raised stop, for a command whose threads and children come and go. */
#pragma once

#include "base/err.h"
#include "base/macros.h"
#include "base/stop.h"

struct signal_watch;

/* From now on SIGINT, SIGTERM and SIGHUP raise stop (borrowed, outlives the watch) instead of
 * ending the program, and SIGPIPE does nothing. Before any other thread is started. */
bool signal_watch_new(struct stop *stop, struct signal_watch **ret_watch, struct err *err) MUST_USE;
void signal_watch_free(struct signal_watch **watch); /* AUTO handler */
