/* Child processes. See child.h. Between fork and exec only async-signal-safe functions run: other
 * threads may hold locks. Child and its workers form a process group, ended together. */
#include "schema/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

extern char **environ;

enum {
    SECRET_FD = 3, /* as CHILD_SECRET_PATH says */
    FIRST_FREE_FD = 10,
    STDERR_KEPT = 4096,
    TERM_PATIENCE_MS = 2000,
    WORKER_PATIENCE_MS = 1000,
};

struct child {
    pid_t pid;
    int pid_fd;
    int out_fd;
    int err_fd;
};

static void fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Moves a descriptor away from those that the child's own will replace. */
static int fd_raise(int fd)
{
    if (fd < 0 || fd >= FIRST_FREE_FD)
        return fd;
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    (void)close(fd);
    return raised;
}

static bool pipe_open(int *ret_read, int *ret_write)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *ret_read = fd_raise(fds[0]);
    *ret_write = fd_raise(fds[1]);
    return *ret_read >= 0 && *ret_write >= 0 && fcntl(*ret_read, F_SETFL, O_NONBLOCK) == 0;
}

static int secret_open(const char *secret)
{
    int fd = fd_raise(memfd_create("passfile", MFD_CLOEXEC));
    size_t len = strlen(secret);
    if (fd < 0)
        return -1;
    if (fchmod(fd, 0600) == 0 && write(fd, secret, len) == (ssize_t)len)
        return fd;
    fd_close(&fd);
    return -1;
}

/* Our environment without the names that changes mention, then what they set. The strings are
 * borrowed from both; only the array is the caller's. */
static char **environment_make(const char *const *changes)
{
    size_t count = 0;
    for (char **e = environ; *e; e++)
        count++;
    for (const char *const *c = changes; c && *c; c++)
        count++;
    char **made = mem_alloc((count + 1) * sizeof(*made));
    count = 0;
    for (char **e = environ; *e; e++) {
        bool is_changed = false;
        size_t name_len = strcspn(*e, "=");
        for (const char *const *c = changes; c && *c; c++)
            is_changed |= strcspn(*c, "=") == name_len && strncmp(*c, *e, name_len) == 0;
        if (!is_changed)
            made[count++] = *e;
    }
    for (const char *const *c = changes; c && *c; c++)
        if (strchr(*c, '='))
            made[count++] = (char *)(uintptr_t)*c;
    return made;
}

struct child_files {
    int null_fd;
    int out_fd;
    int err_fd;
    int secret_fd; /* -1: none */
};

/* In the child. */
NORETURN static void child_exec(const struct child_spec *spec, char **environment,
                                const struct child_files *files, pid_t parent)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(files->null_fd, STDIN_FILENO) < 0 || dup2(files->out_fd, STDOUT_FILENO) < 0 ||
        dup2(files->err_fd, STDERR_FILENO) < 0)
        _exit(127);
    if (files->secret_fd >= 0 && dup2(files->secret_fd, SECRET_FD) < 0)
        _exit(127);
    (void)close_range(files->secret_fd >= 0 ? SECRET_FD + 1 : SECRET_FD, ~0U, 0);
    (void)execve(spec->argv[0], (char *const *)(uintptr_t)spec->argv, environment);
    static const char message[] = "error: could not execute the program\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof(message) - 1);
    _exit(written < 0 ? 126 : 127);
}

static void strings_free(char ***strings)
{
    free(*strings);
}

static bool child_start(const struct child_spec *spec, struct child *ret_child, struct err *err)
{
    AUTO(strings_free) char **environment = environment_make(spec->environment);
    AUTO(fd_close) int out_read = -1;
    AUTO(fd_close) int out_write = -1;
    AUTO(fd_close) int err_read = -1;
    AUTO(fd_close) int err_write = -1;
    AUTO(fd_close) int null_fd = fd_raise(open("/dev/null", O_RDONLY | O_CLOEXEC));
    AUTO(fd_close) int secret_fd = spec->secret ? secret_open(spec->secret) : -1;
    if (null_fd < 0 || (spec->secret && secret_fd < 0) || !pipe_open(&out_read, &out_write) ||
        !pipe_open(&err_read, &err_write))
        return err_set(err, ERR_FATAL, "could not make pipes for %s: %s", spec->argv[0],
                       strerror(errno));
    struct child_files files = {null_fd, out_write, err_write, secret_fd};
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_set(err, ERR_FATAL, "could not start %s: %s", spec->argv[0], strerror(errno));
    if (pid == 0)
        child_exec(spec, environment, &files, parent);
    (void)setpgid(pid, pid); /* whoever is first */
    int pid_fd = pidfd_open(pid, 0);
    if (pid_fd < 0) {
        (void)err_set(err, ERR_FATAL, "could not watch %s: %s", spec->argv[0], strerror(errno));
        (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return false;
    }
    *ret_child = (struct child){pid, pid_fd, out_read, err_read};
    out_read = err_read = -1;
    return true;
}

/* Reads what is there. False: the pipe's end. */
static bool drain(int fd, struct buf *into)
{
    char chunk[8192];
    ssize_t got;
    while ((got = read(fd, chunk, sizeof(chunk))) > 0)
        if (into)
            buf_add(into, chunk, (size_t)got);
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static void keep_tail(struct buf *text)
{
    if (text->len <= STDERR_KEPT)
        return;
    size_t cut = text->len - STDERR_KEPT;
    memmove(text->data, text->data + cut, STDERR_KEPT + 1);
    text->len = STDERR_KEPT;
}

/* Until the child has ended. When stop is raised it is asked to end, then made to. */
static void child_wait(struct child *child, const struct stop *stop, struct buf *output,
                       struct buf *errors)
{
    int64_t kill_at = 0;
    for (;;) {
        struct pollfd fds[] = {
            {.fd = child->pid_fd, .events = POLLIN},
            {.fd = child->out_fd, .events = POLLIN},
            {.fd = child->err_fd, .events = POLLIN},
            {.fd = kill_at ? -1 : stop_fd(stop), .events = POLLIN},
        };
        int64_t left = kill_at - clock_ms();
        int timeout_ms = !kill_at ? -1 : left > 0 ? (int)left : 0;
        if (poll(fds, COUNT_OF(fds), timeout_ms) < 0)
            continue; /* a signal */
        if (fds[1].revents && !drain(child->out_fd, output))
            fd_close(&child->out_fd);
        if (fds[2].revents && !drain(child->err_fd, errors))
            fd_close(&child->err_fd);
        keep_tail(errors);
        if (fds[0].revents)
            break;
        if (kill_at && clock_ms() >= kill_at) {
            (void)kill(-child->pid, SIGKILL);
            kill_at = INT64_MAX / 2;
        } else if (!kill_at && stop_raised(stop)) {
            (void)kill(-child->pid, SIGTERM);
            kill_at = clock_ms() + TERM_PATIENCE_MS;
        }
    }
}

/* After the child's end: its workers may still be cancelling what they run. The pipe ends with the
 * last of them; who takes too long is killed (the group is still ours: it is not reaped yet). */
static void workers_wait(struct child *child, struct buf *output, struct buf *errors)
{
    int64_t until = clock_ms() + WORKER_PATIENCE_MS;
    int64_t left;
    while (child->err_fd >= 0 && (left = until - clock_ms()) > 0) {
        struct pollfd fd = {.fd = child->err_fd, .events = POLLIN};
        if (poll(&fd, 1, (int)left) > 0 && !drain(child->err_fd, errors))
            fd_close(&child->err_fd);
        keep_tail(errors);
    }
    (void)kill(-child->pid, SIGKILL);
    if (child->out_fd >= 0)
        (void)drain(child->out_fd, output);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool child_run(const struct child_spec *spec, struct buf *output, struct err *err)
{
    AUTO(buf_release) struct buf errors = BUF_INIT;
    struct child child = {0};
    int status = 0;
    const char *program = base_name(spec->argv[0]);
    if (stop_raised(spec->stop))
        return err_set(err, ERR_STOP, "%s: interrupted", program);
    if (!child_start(spec, &child, err))
        return false;
    child_wait(&child, spec->stop, output, &errors);
    workers_wait(&child, output, &errors);
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
        ;
    fd_close(&child.pid_fd);
    fd_close(&child.out_fd);
    fd_close(&child.err_fd);
    if (stop_raised(spec->stop))
        return err_set(err, ERR_STOP, "%s: interrupted", program);
    if (WIFSIGNALED(status))
        return err_set(err, ERR_RETRY, "%s was ended by signal %d", program, WTERMSIG(status));
    return WEXITSTATUS(status) == 0 || child_fail(program, buf_text(&errors), err);
}

static enum err_kind classify(const char *text, const char **ret_hint)
{
    static const struct {
        const char *text;
        enum err_kind kind;
        const char *hint;
    } classes[] = {
        {"\"pg_attver\"", ERR_CONFIG,
         "install pg_dump and pg_restore of the source's own version: others do not know what its "
         "minor versions of 2026-11 keep in the catalog"},
        {"password authentication failed", ERR_CONFIG, "check user and password in the URL"},
        {"max_locks_per_transaction", ERR_CONFIG,
         "raise max_locks_per_transaction on that server and restart it"},
        {"could not open extension control file", ERR_CONFIG,
         "install the extension on the target server"},
        {"is not available", ERR_CONFIG, "install what is missing on the target server"},
        {"permission denied to create extension", ERR_CONFIG,
         "have a superuser run CREATE EXTENSION on the target; what is there is left as it is"},
        {"permission denied to set parameter", ERR_CONFIG,
         "GRANT SET ON PARAMETER … TO the role of the target URL"},
        {"permission denied for schema", ERR_CONFIG,
         "GRANT CREATE ON SCHEMA … to the owner of the source's object: on the source, from where "
         "it is copied, or on the target when the schema is there"},
        {"permission denied", ERR_CONFIG, "grant it to the user of the URL, or use the owner"},
        {"must be owner", ERR_CONFIG, "connect as the owner or as a superuser"},
        {"must be superuser", ERR_CONFIG, "connect as a superuser"},
        {"only superuser can", ERR_CONFIG, "connect as a superuser"},
        {"could not connect", ERR_RETRY, NULL},
        {"connection to server", ERR_RETRY, NULL},
        {"server closed the connection", ERR_RETRY, NULL},
        {"terminating connection", ERR_RETRY, NULL},
        {"no connection to the server", ERR_RETRY, NULL},
        {"SSL connection has been closed", ERR_RETRY, NULL},
        {"could not receive data from server", ERR_RETRY, NULL},
        {"could not send data to server", ERR_RETRY, NULL},
        {"the database system is", ERR_RETRY, NULL},
        {"too many clients", ERR_RETRY, NULL},
        {"remaining connection slots", ERR_RETRY, NULL},
        {"canceling statement", ERR_RETRY, NULL},
        {"deadlock detected", ERR_RETRY, NULL},
        {"invalid snapshot identifier", ERR_RETRY, NULL},
        {"could not import the requested snapshot", ERR_RETRY, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strstr(text, classes[i].text)) {
            *ret_hint = classes[i].hint;
            return classes[i].kind;
        }
    *ret_hint = NULL;
    return ERR_FATAL;
}

/* A line of text that has word in it, from behind the word on; NULL when there is none. */
static char *line_after(const char *text, const char *word)
{
    const char *found = strstr(text, word);
    if (!found)
        return NULL;
    found += strlen(word);
    return str_dup_n(found, strcspn(found, "\n"));
}

bool child_fail(const char *program, const char *text, struct err *err)
{
    AUTO(str_free) char *cause = line_after(text, "error: ");
    AUTO(str_free) char *command = line_after(text, "\nCommand was: ");
    AUTO(str_free) char *hint = line_after(text, "\nHINT:  ");
    if (!cause)
        cause = str_dup_n(text, strcspn(text, "\n"));
    const char *our_hint = NULL;
    enum err_kind kind = classify(text, &our_hint);
    (void)err_set(err, kind, "%s: %.500s%s%.150s%s", program, cause[0] ? cause : "failed",
                  command ? " (" : "", command ? command : "", command ? ")" : "");
    if (our_hint || hint)
        (void)err_hint(err, "%.200s", our_hint ? our_hint : hint);
    return false;
}
