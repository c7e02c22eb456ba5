/* Child processes of the demo: two servers, the engine, initdb, verify. Between fork and exec only
 * what is safe in a program with threads; everything else is made ready before. */
#include "demo/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "demo/text.h"

enum { EXEC_FAILED = 127 };

struct process_files {
    int in;
    int out;
    int err;
};

static void files_release(struct process_files *files)
{
    if (files->in >= 0)
        (void)close(files->in);
    if (files->out >= 0)
        (void)close(files->out);
    if (files->err >= 0)
        (void)close(files->err);
}

static int open_output(const char *path, int how)
{
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
}

static bool files_open(const struct process_options *options, struct process_files *files,
                       struct err *err)
{
    files->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    files->err = open_output(options->log_path, O_APPEND);
    files->out = options->out_path ? open_output(options->out_path, O_TRUNC)
                                   : fcntl(files->err, F_DUPFD_CLOEXEC, 0);
    if (files->in >= 0 && files->out >= 0 && files->err >= 0)
        return true;
    return err_set(err, ERR_FATAL, "could not open %s: %s", options->log_path, strerror(errno));
}

static bool step_down(const struct process_options *options)
{
    if (geteuid() != 0 || options->uid == 0)
        return true;
    return setgroups(0, NULL) == 0 && setgid(options->gid) == 0 && setuid(options->uid) == 0;
}

/* A change of user forgets the death signal: it is asked for afterwards. The parent may have died
 * before; then nobody would send it. */
static NORETURN void in_child(const struct process_options *options,
                              const struct process_files *files, pid_t parent)
{
    sigset_t none;
    (void)sigemptyset(&none);
    bool is_ready = setpgid(0, 0) == 0 && dup2(files->in, 0) == 0 && dup2(files->out, 1) == 1 &&
                    dup2(files->err, 2) == 2 && step_down(options) && chdir(options->dir) == 0 &&
                    prctl(PR_SET_PDEATHSIG, options->death_signal) == 0 &&
                    sigprocmask(SIG_SETMASK, &none, NULL) == 0;
    if (is_ready && (!options->death_signal || getppid() == parent)) {
        union {
            const char *const *from;
            char *const *to;
        } argv = {options->argv}, env = {options->env};
        (void)execve(options->argv[0], argv.to, env.to);
    }
    static const char text[] = "could not start the program\n";
    if (write(2, text, sizeof(text) - 1) < 0)
        _exit(EXEC_FAILED);
    _exit(EXEC_FAILED);
}

bool process_start(const struct process_options *options, struct process *ret_process,
                   struct err *err)
{
    AUTO(files_release) struct process_files files = {-1, -1, -1};
    if (!files_open(options, &files, err))
        return false;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        in_child(options, &files, parent);
    int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pid > 0 && pidfd < 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    if (pidfd < 0)
        return err_set(err, ERR_FATAL, "could not start %s: %s", options->what, strerror(errno));
    *ret_process = (struct process){.pid = pid, .pidfd = pidfd, .what = options->what};
    return true;
}

bool process_runs(const struct process *process)
{
    struct pollfd pfd = {.fd = process->pidfd, .events = POLLIN};
    return process->pid && poll(&pfd, 1, 0) == 0;
}

bool process_wait(struct process *process, int timeout_ms, const struct stop *stop)
{
    struct pollfd pfds[2] = {{.fd = process->pidfd, .events = POLLIN},
                             {.fd = stop_fd(stop), .events = POLLIN}};
    int64_t until = clock_ms() + timeout_ms;
    while (process->pid) {
        int64_t left = timeout_ms < 0 ? -1 : MAX_OF(until - clock_ms(), 0);
        int count = poll(pfds, COUNT_OF(pfds), (int)left);
        if (pfds[0].revents & POLLIN) {
            (void)waitpid(process->pid, &process->status, 0);
            (void)close(process->pidfd);
            process->pid = 0;
            process->pidfd = -1;
        } else if (count == 0 || (count > 0 && stop_raised(stop))) {
            return false;
        }
    }
    return true;
}

void process_end(struct process *process, const int *signals, int timeout_ms)
{
    pid_t pid = process->pid;
    if (!pid)
        return;
    for (; process->pid && *signals; signals++) {
        (void)kill(pid, *signals);
        (void)process_wait(process, timeout_ms, NULL);
    }
    (void)kill(-pid, SIGKILL);
}

void process_forget(struct process *process)
{
    if (process->pid)
        (void)close(process->pidfd);
    *process = PROCESS_INIT;
}

bool process_run(const struct process_options *options, const struct stop *stop, struct err *err)
{
    static const int how[] = {SIGTERM, SIGKILL, 0};
    struct process process = PROCESS_INIT;
    if (!process_start(options, &process, err))
        return false;
    if (!process_wait(&process, -1, stop)) {
        process_end(&process, how, 5000);
        return err_set(err, ERR_STOP, "interrupted");
    }
    return process_code(&process) == 0 || process_failed(&process, options->log_path, err);
}

int process_code(const struct process *process)
{
    return WIFEXITED(process->status) ? WEXITSTATUS(process->status)
                                      : 128 + WTERMSIG(process->status);
}

bool process_failed(const struct process *process, const char *log_path, struct err *err)
{
    AUTO(str_free) char *line = text_last_line(log_path);
    return err_set(err, ERR_FATAL, "%s ended with exit code %d%s%s", process->what,
                   process_code(process), *line ? ": " : "", line);
}
