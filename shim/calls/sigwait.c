/*
 * sigwait, sigwaitinfo, sigtimedwait: the target takes a signal by itself. A chain signal is
 * announced here, on the calling thread, before the target gets it.
 */
#include "../drain.h"
#include "../resume.h"
#include "../shim.h"

#include <signal.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int waiting(const sigset_t *, siginfo_t *, const struct timespec *);

/* What the target gets for a signal that was taken: its number, another one, or 0 for none. */
static int handed_over(int signo, const sigset_t *set, siginfo_t *info)
{
    if (!grace_disposition_managed(signo))
        return signo;
    if (grace_drain_woke(info))
        return 0;
    if (!grace_is_owner())
        return signo;
    if (grace_stop_retry(info, NULL) || grace_end_exit_requested(info, NULL) ||
        grace_putoff_signal(signo, info, NULL, false))
        return 0;
    grace_kept_restore(info);
    bool final = grace_signal_is_final(signo);
    if ((grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) && !grace_announce_here(signo, info))
        return 0;
    if (final)
        return signo;
    int as = grace_signal_delivered_as(signo);
    if (sigismember(set, as) != 1) {
        grace_signal_send_on(signo, info, 0);
        return 0;
    }
    info->si_signo = as;
    return as;
}

static int wait_for(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    waiting *real = GRACE_REAL(waiting, GRACE_TIMED("sigtimedwait", "__sigtimedwait64"));
    struct grace_wait_start start =
        timeout == NULL ? (struct grace_wait_start){{0, 0}} : grace_wait_start();
    struct timespec left;
    siginfo_t own, *taken = info == NULL ? &own : info;
    grace_wait_begin();
    for (const struct timespec *limit = timeout;;) {
        int signo = real(set, taken, limit);
        if (signo > 0)
            signo = handed_over(signo, set, taken);
        else if (!GRACE_INTERRUPTED(signo))
            return signo;
        if (signo > 0)
            return signo;
        if (timeout != NULL) {
            left = grace_wait_left(&start, timeout);
            limit = &left;
        }
    }
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    return wait_for(set, info, timeout);
}

#ifndef GRACE_TIME64

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    return wait_for(set, info, NULL);
}

/* Never interrupted (glibc, sysdeps/unix/sysv/linux/sigwait.c); an error is the result. */
EXPORT int sigwait(const sigset_t *set, int *signo)
{
    int taken;
    do
        taken = wait_for(set, NULL, NULL);
    while (taken == -1 && errno == EINTR);
    if (taken == -1)
        return errno;
    *signo = taken;
    return 0;
}

#endif
