/*
 * Starting the conductor out of a signal handler.
 *
 * At a safe point that is pthread_create, on a stack of our own, since the handler may be running
 * on an alternate stack with room for little more than itself. Anywhere else a one-shot timer sends
 * the same signal again in a fraction of a millisecond, and the place it interrupts is judged anew.
 * The target goes on working in between. Raw system calls: libc's timer_create allocates.
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
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE + grace_thread_storage);
    /* The new thread inherits the mask: no signal of the target's may ever run on it. */
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
    int result = pthread_create(&thread, &attributes, function, argument);
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    pthread_attr_destroy(&attributes);
    return result;
}

/* ---- the timer ----------------------------------------------------------------------------- */

static bool timer_arm(const struct grace_launch *launch)
{
    struct itimerspec soon = {.it_value = {.tv_nsec = GRACE_LAUNCH_RETRY_US * 1000}};
    return syscall(SYS_timer_settime, launch->timer, 0, &soon, NULL) == 0;
}

static bool timer_start(struct grace_launch *launch)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = launch->signo;
    event.sigev_value.sival_ptr = launch; /* tells its signals from all others */
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &launch->timer) != 0)
        return false;
    if (timer_arm(launch))
        return true;
    syscall(SYS_timer_delete, launch->timer);
    return false;
}

/* ---- the launch ---------------------------------------------------------------------------- */

/* On a busy machine the thread may have run for little of the time: then it is looked at some more.
 */
static bool is_over(const struct grace_launch *launch)
{
    uint64_t now = grace_now_ms();
    return now >= launch->limit_ms && (launch->looks >= GRACE_LAUNCH_LOOKS ||
                                       now >= launch->limit_ms + 2 * GRACE_LAUNCH_LIMIT_MS);
}

static void start(void *argument)
{
    struct grace_launch *launch = argument;
    if (is_over(launch) || grace_thread_start(launch->what->conductor, NULL) != 0)
        launch->what->stuck();
    else if (launch->what->beside != NULL)
        launch->what->beside();
}

/* Returns true when the launch is over, one way or the other. */
static bool attempt(struct grace_launch *launch, const ucontext_t *context)
{
    launch->looks++;
    if (context != NULL && !is_over(launch) && !grace_safepoint_at(context))
        return false;
    grace_call_on_stack(start, launch, launch->what->stack_end);
    return true;
}

void grace_launch(struct grace_launch *launch, const struct grace_launched *what, int signo,
                  const ucontext_t *context)
{
    launch->what = what;
    launch->signo = signo;
    launch->limit_ms = grace_now_ms() + GRACE_LAUNCH_LIMIT_MS;
    if (attempt(launch, context))
        return;
    atomic_store_explicit(&launch->pending, 1, memory_order_release);
    if (timer_start(launch))
        return;
    atomic_store_explicit(&launch->pending, 0, memory_order_relaxed);
    launch->limit_ms = 0;
    attempt(launch, context);
}

bool grace_launch_retry(struct grace_launch *launch, const siginfo_t *info,
                        const ucontext_t *context)
{
    if (info->si_code != SI_TIMER || info->si_value.sival_ptr != launch)
        return false;
    /* Two of these may run at once, in two threads: the one that takes the word goes on. */
    uint32_t armed = 1;
    if (!atomic_compare_exchange_strong_explicit(&launch->pending, &armed, 2, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return true;
    if (attempt(launch, context)) {
        syscall(SYS_timer_delete, launch->timer);
        atomic_store_explicit(&launch->pending, 0, memory_order_release);
    } else {
        atomic_store_explicit(&launch->pending, 1, memory_order_release);
        timer_arm(launch);
    }
    return true;
}

bool grace_launch_take_over(struct grace_launch *launch)
{
    uint32_t armed = 1;
    if (!atomic_compare_exchange_strong_explicit(&launch->pending, &armed, 2, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    syscall(SYS_timer_delete, launch->timer);
    atomic_store_explicit(&launch->pending, 0, memory_order_release);
    return true;
}
