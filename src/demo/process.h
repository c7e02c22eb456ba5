/* Child processes of the demo. Owner: main thread (a child dies with the thread that started it).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/stop.h"

struct process {
    pid_t pid;        /* 0: none */
    int pidfd;        /* readable when it has ended */
    int status;       /* as waitpid() gave it, once ended */
    const char *what; /* borrowed: a constant, for error texts */
};

#define PROCESS_INIT ((struct process){.pidfd = -1})

struct process_options {
    const char *what;        /* a constant: "the engine" */
    const char *const *argv; /* argv[0] is the program's path */
    const char *const *env;  /* the whole environment */
    const char *dir;         /* where it starts */
    const char *log_path;    /* gets its output, appended */
    const char *out_path;    /* gets its standard output instead, or NULL */
    uid_t uid;               /* when we are root: whom it runs as */
    gid_t gid;
    int death_signal; /* what it gets when we die; 0: nothing */
};

/* Starts it in a process group of its own, so that Ctrl-C reaches the demo alone. */
bool process_start(const struct process_options *options, struct process *ret_process,
                   struct err *err) MUST_USE;

bool process_runs(const struct process *process);

/* Waits up to timeout_ms (negative: without end) or until stop is raised (may be NULL). True: it
 * has ended, and status is set. */
bool process_wait(struct process *process, int timeout_ms, const struct stop *stop);

/* Sends the signals of a list that ends with 0, each followed by up to timeout_ms of waiting, until
 * it has ended; what remains of its group is killed. Nothing happens when there is no process. */
void process_end(struct process *process, const int *signals, int timeout_ms);

/* Leaves it running, no longer ours. */
void process_forget(struct process *process);

/* Starts a child and waits for its end. Not ended by itself, or exit code not 0: an error with the
 * last line of its log; stop raised: ended and ERR_STOP. */
bool process_run(const struct process_options *options, const struct stop *stop,
                 struct err *err) MUST_USE;

/* The exit code; 128 and the signal's number for one killed. */
int process_code(const struct process *process);

/* Puts "what ended with N" and the last line of its log into err. Returns false. */
bool process_failed(const struct process *process, const char *log_path, struct err *err);
