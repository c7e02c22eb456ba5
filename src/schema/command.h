/* Command lines and environments of pg_dump and pg_restore. No password in either. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "schema/schema.h"

/* A tool to run; arguments are collected in argv, then command_run(). In place. */
struct command {
    const struct schema_job *job; /* borrowed */
    struct strv argv;
    struct strv environment;
    char *secret; /* owned: the password as a line of a password file, or NULL */
};

#define COMMAND_INIT ((struct command){0})

/* pg_dump or pg_restore of this job, path first. */
void command_init(struct command *command, const struct schema_job *job, const char *path);
void command_release(struct command *command); /* AUTO handler */

void command_add(struct command *command, const char *argument);
void command_addf(struct command *command, const char *fmt, ...) PRINTF(2, 3);

/* The socket of a front in the work directory (front.h). */
#define COMMAND_SOCKET ".s.PGSQL.1"

/* Adds -d with that socket in place of a server. */
void command_connect_front(struct command *command);

/* Owned by the caller: the startup options that protect a session from hostile defaults. memory:
 * maintenance_work_mem in bytes, 0: the server's own. */
char *command_options(int64_t memory);

/* Adds -d with the URL's own settings and command_options(). version: the server's. */
void command_connect(struct command *command, const char *url, const char *role, int version,
                     int64_t memory);

/* Runs it. output NULL: dropped. */
bool command_run(struct command *command, struct buf *output, struct err *err);

/* Owned by the caller: application_name of a role's sessions, not longer than the server keeps. */
char *command_application(const struct schema_job *job, const char *role);

/* Owned by the caller: a file of the work directory. */
char *command_file(const struct schema_job *job, const char *name);
