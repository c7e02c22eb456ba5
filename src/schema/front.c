/* The front before an older target. See front.h. Threads: one that accepts, one for each session
 * of pg_restore; they share the front, which changes only under its lock. */
#include "schema/front.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/relay.h"
#include "schema/command.h"
#include "schema/not_null.h"

enum { WITH_UNLOGGED_SEQUENCES = 15, WITH_TRANSACTION_TIMEOUT = 17, WITH_NOT_NULL_APART = 18 };

static const char withheld[] =
    "SET transaction_timeout = 0;\n"; /* as pg_restore 17 and 18 write it */

struct session {
    struct front *front; /* borrowed */
    int fd;              /* owned */
    pthread_t thread;
};

struct front {
    struct relay relay; /* borrows options, application and the job's URL */
    char *application;  /* owned */
    char *options;      /* owned */
    char *path;         /* owned: of the socket */
    struct stop *ending;
    int listener;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock; /* of the first failure */
    struct err failure;
};

bool front_is_needed(int tools_major, int target_version)
{
    int major = target_version / 10000;
    return (tools_major >= WITH_UNLOGGED_SEQUENCES && major < WITH_UNLOGGED_SEQUENCES) ||
           (tools_major >= WITH_TRANSACTION_TIMEOUT && major < WITH_TRANSACTION_TIMEOUT) ||
           (tools_major >= WITH_NOT_NULL_APART && major < WITH_NOT_NULL_APART);
}

/* Sequences are as unlogged as their tables since 15. */
static bool adapt(const char *query, int version, struct buf *adapted)
{
    static const char unlogged[] = "CREATE UNLOGGED SEQUENCE ";
    size_t len = strlen(unlogged);
    if (version < WITH_UNLOGGED_SEQUENCES * 10000 && strncmp(query, unlogged, len) == 0) {
        buf_fmt(adapted, "CREATE SEQUENCE %s", query + len);
        return true;
    }
    return version < WITH_NOT_NULL_APART * 10000 && not_null_adapt(query, adapted);
}

static void *session_main(void *arg)
{
    struct session *session = arg;
    struct front *front = session->front;
    struct err err = {0};
    if (!relay_serve(&front->relay, session->fd, &err) && err.kind != ERR_STOP) {
        (void)pthread_mutex_lock(&front->lock);
        if (front->failure.kind == ERR_NONE)
            front->failure = err;
        (void)pthread_mutex_unlock(&front->lock);
    }
    (void)shutdown(session->fd, SHUT_RDWR); /* closed by who joins us */
    return NULL;
}

/* Until the end, which ends the sessions as well. */
static void *accept_main(void *arg)
{
    struct front *front = arg;
    struct session **sessions = NULL;
    size_t count = 0;
    while (!stop_raised(front->ending)) {
        struct pollfd fds[] = {{.fd = front->listener, .events = POLLIN},
                               {.fd = stop_fd(front->ending), .events = POLLIN}};
        (void)poll(fds, COUNT_OF(fds), -1);
        int fd = accept4(front->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct session *session = mem_alloc(sizeof(*session));
        *session = (struct session){.front = front, .fd = fd};
        if (pthread_create(&session->thread, NULL, session_main, session) != 0) {
            (void)close(fd); /* pg_restore says that the connection failed */
            free(session);
            continue;
        }
        sessions = mem_resize(sessions, count + 1, sizeof(struct session *));
        sessions[count++] = session;
    }
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(sessions[i]->thread, NULL);
        (void)close(sessions[i]->fd);
        free(sessions[i]);
    }
    free(sessions);
    return NULL;
}

static bool listen_at(struct front *front, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(front->path) >= sizeof(address.sun_path)) {
        (void)err_set(err, ERR_CONFIG,
                      "the temporary directory's name is too long for a socket: %s", front->path);
        return err_hint(err, "set TMPDIR to a directory with a shorter name");
    }
    memcpy(address.sun_path, front->path, strlen(front->path));
    (void)unlink(front->path);
    front->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (front->listener < 0 ||
        bind(front->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(front->listener, SOMAXCONN) != 0)
        return err_set(err, ERR_FATAL, "could not listen at \"%s\": %s", front->path,
                       strerror(errno));
    return true;
}

bool front_open(const struct schema_job *job, int target_version, struct front **ret_front,
                struct err *err)
{
    AUTO(front_free) struct front *front = mem_alloc(sizeof(*front));
    *front = (struct front){
        .application = command_application(job, "pg_restore"),
        .options = command_options(job->index_memory),
        .path = command_file(job, COMMAND_SOCKET),
        .ending = stop_new(),
        .listener = -1,
    };
    front->relay = (struct relay){
        .target = {.url = job->target_url,
                   .what = "target",
                   .application_name = front->application,
                   .extra_options = front->options,
                   .stop = front->ending},
        .withheld = target_version < WITH_TRANSACTION_TIMEOUT * 10000 ? withheld : NULL,
        .adapt = adapt,
    };
    (void)pthread_mutex_init(&front->lock, NULL);
    if (!listen_at(front, err))
        return false;
    if (pthread_create(&front->thread, NULL, accept_main, front) != 0)
        return err_set(err, ERR_FATAL, "could not start a thread");
    front->is_started = true;
    *ret_front = TAKE(front);
    return true;
}

bool front_close(struct front *front, struct err *err)
{
    stop_raise(front->ending);
    if (front->is_started)
        (void)pthread_join(front->thread, NULL);
    front->is_started = false;
    return front->failure.kind == ERR_NONE || err_copy(err, &front->failure);
}

void front_free(struct front **front)
{
    struct err ignored;
    if (!*front)
        return;
    (void)front_close(*front, &ignored);
    if ((*front)->listener >= 0) {
        (void)close((*front)->listener);
        (void)unlink((*front)->path);
    }
    (void)pthread_mutex_destroy(&(*front)->lock);
    stop_free(&(*front)->ending);
    str_free(&(*front)->application);
    str_free(&(*front)->options);
    str_free(&(*front)->path);
    free(*front);
    *front = NULL;
}
