/* What sessions of a pipeline wait for on a server: locks of others, the end of transactions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/macros.h"
#include "pg/conn.h"

/* One session of ours and one of those that it waits for. */
struct wait {
    const char *server; /* "source" or "target" */
    int pid;            /* ours */
    char *session;      /* owned, as all text here: the role in our application_name */
    char *object;       /* "public.t", "transaction 748" */
    char *mode;         /* of the lock asked for */
    int64_t waited_s;   /* negative: unknown */
    int blocker_pid;    /* 0: a prepared transaction */
    char *gid;          /* of a prepared transaction; else NULL */
    char *user;         /* NULL: unknown, as the next ones may be: other people's sessions are */
    char *application;  /* shown in full to members of pg_read_all_stats only */
    char *state;
    int64_t age_s; /* of the blocking transaction; negative: unknown */
};

struct wait_list {
    struct wait *items;
    size_t count;
};

#define WAIT_LIST_INIT ((struct wait_list){0})

/* Appends what sessions whose application_name begins with prefix wait for. server is a
 * constant. */
bool waits_read(struct conn *conn, const char *server, const char *prefix, struct wait_list *list,
                struct err *err) MUST_USE;
void wait_list_release(struct wait_list *list); /* AUTO handler */
