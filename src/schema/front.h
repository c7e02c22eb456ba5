/* A place on this machine where pg_restore finds the target, when it is too new to go there itself:
 * from 17 on it begins each session with a setting that older servers refuse; dumps of 18 have NOT
 * NULLs that older servers cannot read (not_null.h), those of 15 unlogged sequences. Everything
 * else that it sends is passed on as it is, so that its lists, jobs, transactions and errors are
 * its own.
 *
 * A front is a socket in the job's work directory, which only our user may enter, and threads that
 * serve it, a session of the target for each of pg_restore's. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "schema/schema.h"

struct front;

/* Whether tools of that major version need a front before a target of that version. */
bool front_is_needed(int tools_major, int target_version);

/* job is borrowed until front_free(). */
bool front_open(const struct schema_job *job, int target_version, struct front **ret_front,
                struct err *err);

/* Ends the sessions, cancelling what runs in them. Call it when pg_restore has ended. False: one of
 * them could not be had or was lost; that is why pg_restore has failed. */
bool front_close(struct front *front, struct err *err);
void front_free(struct front **front); /* AUTO handler; closes it */
