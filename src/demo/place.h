/* Where the demo lives: a temporary directory, the server's programs, the user who runs them. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct place {
    char *dir;      /* owned; NULL: none was made */
    char *bindir;   /* owned: initdb, postgres, pg_dump, pg_restore */
    char *password; /* owned: of the superuser of both clusters, made for this run */
    uid_t uid;      /* owner of dir and of the servers */
    gid_t gid;
};

#define PLACE_INIT ((struct place){0})

/* bindir: where the programs are, or "" to search. Not found: ERR_CONFIG with the package. */
bool place_open(struct place *place, const char *bindir, struct err *err) MUST_USE;

/* Removes the directory with all that is in it. */
void place_remove(struct place *place);
void place_release(struct place *place); /* memory only */

/* A path inside. Owned by the caller. */
char *place_path(const struct place *place, const char *name) MUST_USE;

/* A file inside with this text, readable by the servers' user alone. */
bool place_write(const struct place *place, const char *name, const char *text,
                 struct err *err) MUST_USE;

/* A port of 127.0.0.1 that nobody listens on now; 0 with an error when there is none. */
int place_free_port(struct err *err) MUST_USE;
