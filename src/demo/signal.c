/* Ctrl-C and its kin: blocked everywhere, taken by one thread with sigwait(). */
#include "demo/signal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"

struct signal_watch {
    struct stop *stop; /* borrowed */
    sigset_t signals;
    pthread_t thread;
};

/* SIGUSR2 is what ends the thread. */
static void *signal_main(void *arg)
{
    struct signal_watch *watch = arg;
    int number = 0;
    while (sigwait(&watch->signals, &number) == 0 && number != SIGUSR2)
        stop_raise(watch->stop);
    return NULL;
}

bool signal_watch_new(struct stop *stop, struct signal_watch **ret_watch, struct err *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};
    struct signal_watch *watch = mem_alloc(sizeof(*watch));
    watch->stop = stop;
    (void)sigemptyset(&watch->signals);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        (void)sigaddset(&watch->signals, numbers[i]);
    sigset_t blocked = watch->signals;
    (void)sigaddset(&blocked, SIGPIPE); /* a reader of our output that goes must not end us */
    if (pthread_sigmask(SIG_BLOCK, &blocked, NULL) != 0 ||
        pthread_create(&watch->thread, NULL, signal_main, watch) != 0) {
        free(watch);
        return err_set(err, ERR_FATAL, "could not watch for signals");
    }
    *ret_watch = watch;
    return true;
}

void signal_watch_free(struct signal_watch **watch)
{
    if (!*watch)
        return;
    (void)pthread_kill((*watch)->thread, SIGUSR2);
    (void)pthread_join((*watch)->thread, NULL);
    free(*watch);
    *watch = NULL;
}
