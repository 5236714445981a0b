/*
 * signal and the older ways to set a disposition, for the signals that libgrace manages: libc's own
 * versions call sigaction inside libc, where nobody sees it. Each is sigaction with the flags that
 * libc's gives (glibc 2.36, signal/ and sysdeps/posix/). Other signals go straight to libc.
 */
#include "../shim.h"

#include <signal.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef void handler(int);
typedef handler *setting(int, handler *);
typedef int ignoring(int);
typedef int interrupting(int, int);

/* What siginterrupt(signo, 1) said: signal() then leaves SA_RESTART out. */
static _Atomic uint64_t interrupts;

static handler *set(int signo, handler *new_handler, int flags, bool block_itself)
{
    struct sigaction action = {.sa_handler = new_handler, .sa_flags = flags}, old;
    sigemptyset(&action.sa_mask);
    if (block_itself)
        sigaddset(&action.sa_mask, signo);
    return grace_disposition(signo, &action, &old, grace_real_sigaction()) == 0 ? old.sa_handler
                                                                                : SIG_ERR;
}

/* These two refuse SIG_ERR; sigset does not. */
static handler *refuse(void)
{
    errno = EINVAL;
    return SIG_ERR;
}

static handler *set_bsd(int signo, handler *new_handler)
{
    bool restart =
        !(atomic_load_explicit(&interrupts, memory_order_relaxed) & GRACE_SIGNAL_BIT(signo));
    if (new_handler == SIG_ERR)
        return refuse();
    return set(signo, new_handler, restart ? SA_RESTART : 0, true);
}

static handler *set_sysv(int signo, handler *new_handler)
{
    if (new_handler == SIG_ERR)
        return refuse();
    return set(signo, new_handler, (int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT), false);
}

EXPORT handler *signal(int signo, handler *new_handler)
{
    return grace_disposition_managed(signo) ? set_bsd(signo, new_handler)
                                            : GRACE_REAL(setting, "signal")(signo, new_handler);
}

EXPORT handler *bsd_signal(int signo, handler *new_handler);
EXPORT handler *bsd_signal(int signo, handler *new_handler)
{
    return signal(signo, new_handler);
}

EXPORT handler *ssignal(int signo, handler *new_handler)
{
    return signal(signo, new_handler);
}

EXPORT handler *sysv_signal(int signo, handler *new_handler)
{
    return grace_disposition_managed(signo)
               ? set_sysv(signo, new_handler)
               : GRACE_REAL(setting, "sysv_signal")(signo, new_handler);
}

EXPORT handler *__sysv_signal(int signo, handler *new_handler)
{
    return sysv_signal(signo, new_handler);
}

/* sigset also blocks and unblocks: the answer tells whether the signal was blocked before. */
EXPORT handler *sigset(int signo, handler *new_handler)
{
    if (!grace_disposition_managed(signo))
        return GRACE_REAL(setting, "sigset")(signo, new_handler);
    sigset_t only, before;
    sigemptyset(&only);
    sigaddset(&only, signo);
    if (new_handler == SIG_HOLD) {
        struct sigaction now;
        if (sigprocmask(SIG_BLOCK, &only, &before) != 0)
            return SIG_ERR;
        if (sigismember(&before, signo))
            return SIG_HOLD;
        return grace_disposition(signo, NULL, &now, grace_real_sigaction()) == 0 ? now.sa_handler
                                                                                 : SIG_ERR;
    }
    handler *old = set(signo, new_handler, 0, false);
    if (old == SIG_ERR || sigprocmask(SIG_UNBLOCK, &only, &before) != 0)
        return SIG_ERR;
    return sigismember(&before, signo) ? SIG_HOLD : old;
}

EXPORT int sigignore(int signo)
{
    if (!grace_disposition_managed(signo))
        return GRACE_REAL(ignoring, "sigignore")(signo);
    return set(signo, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

EXPORT int siginterrupt(int signo, int interrupt)
{
    if (!grace_disposition_managed(signo))
        return GRACE_REAL(interrupting, "siginterrupt")(signo, interrupt);
    struct sigaction action;
    if (grace_disposition(signo, NULL, &action, grace_real_sigaction()) != 0)
        return -1;
    if (interrupt) {
        atomic_fetch_or(&interrupts, GRACE_SIGNAL_BIT(signo));
        action.sa_flags &= ~SA_RESTART;
    } else {
        atomic_fetch_and(&interrupts, ~GRACE_SIGNAL_BIT(signo));
        action.sa_flags |= SA_RESTART;
    }
    return grace_disposition(signo, &action, NULL, grace_real_sigaction());
}
