/*
 * Starting the conductor out of a signal handler.
 *
 * At a safe point that is pthread_create, on a stack of our own, since the handler may be running
 * on an alternate stack with room for little more than itself. Anywhere else it is looked at again
 * in a fraction of a millisecond (again.c).
 *
 * In the handler every signal is blocked (arrival.c): while we are on a stack of our own the kernel
 * takes an alternate one for free, and would have the next handler begin at its top.
 */
#include "shim.h"

#include <pthread.h>
#include <string.h>

#include "arch.h"
#include "raw.h"

/* ---- threads ------------------------------------------------------------------------------- */

/* Most that one of our threads needs; its stack holds the thread-local storage, too. */
#define STACK_SIZE (256 * 1024)

size_t grace_thread_storage;

int grace_thread_start(void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    uint64_t mask;
    if (pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    grace_putoff_begin();
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE + grace_thread_storage);
    /* The new thread inherits the mask: no signal of the target's may ever run on it. */
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
    int result = pthread_create(&thread, &attributes, function, argument);
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    pthread_attr_destroy(&attributes);
    return result;
}

/* Then the stop is the guardian's. */
#define LIMIT_MS 250

/* ---- the launch ---------------------------------------------------------------------------- */

static void start(void *argument)
{
    struct grace_launch *launch = argument;
    if (grace_again_is_over(&launch->again) ||
        grace_thread_start(launch->what->conductor, NULL) != 0)
        launch->what->stuck();
    else if (launch->what->beside != NULL)
        launch->what->beside();
}

/* The launch that looks for a safe point, of the process that it is to start a thread in. */
static struct {
    _Atomic(struct grace_launch *) launch;
    _Atomic int32_t process;
} looking;

/* Returns true when the launch is over, one way or the other. */
static bool attempt(struct grace_launch *launch, const ucontext_t *context)
{
    launch->again.looks++;
    if (context != NULL && !grace_again_is_over(&launch->again) && !grace_safepoint_at(context))
        return false;
    grace_call_on_stack(start, launch, launch->what->stack_end);
    return true;
}

void grace_launch(struct grace_launch *launch, const struct grace_launched *what, int signo,
                  const ucontext_t *context)
{
    launch->what = what;
    grace_again_begin(&launch->again, signo, LIMIT_MS);
    if (attempt(launch, context))
        return;
    atomic_store_explicit(&launch->pending, 1, memory_order_release);
    atomic_store_explicit(&looking.process, grace_getpid(), memory_order_relaxed);
    atomic_store_explicit(&looking.launch, launch, memory_order_release);
    if (grace_again_start(&launch->again))
        return;
    atomic_store_explicit(&launch->pending, 0, memory_order_relaxed);
    launch->again.limit_ms = 0;
    attempt(launch, context);
}

bool grace_launch_retry(struct grace_launch *launch, const siginfo_t *info,
                        const ucontext_t *context)
{
    if (!grace_again_sent(&launch->again, info))
        return false;
    /* Two of these may run at once, in two threads: the one that takes the word goes on. */
    uint32_t armed = 1;
    if (!atomic_compare_exchange_strong_explicit(&launch->pending, &armed, 2, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return true;
    if (attempt(launch, context)) {
        grace_again_stop(&launch->again);
        atomic_store_explicit(&launch->pending, 0, memory_order_release);
    } else {
        atomic_store_explicit(&launch->pending, 1, memory_order_release);
        grace_again_arm(&launch->again);
    }
    return true;
}

bool grace_launch_take_over(struct grace_launch *launch)
{
    uint32_t armed = 1;
    if (!atomic_compare_exchange_strong_explicit(&launch->pending, &armed, 2, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    grace_again_stop(&launch->again);
    atomic_store_explicit(&launch->pending, 0, memory_order_release);
    return true;
}

void grace_launch_here(void)
{
    struct grace_launch *launch = atomic_load_explicit(&looking.launch, memory_order_acquire);
    if (launch == NULL || atomic_load(&looking.process) != grace_getpid())
        return;
    GRACE_KEEP_ERRNO;
    uint64_t mask;
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask); /* as in the handler */
    if (grace_safepoint_here()) {
        atomic_store(&looking.launch, NULL);
        if (grace_launch_take_over(launch))
            attempt(launch, NULL);
    }
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
}
