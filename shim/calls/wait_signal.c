/* Waiting for a handler to run, as the target does it: for one of its own. See resume.c. */
#include "../resume.h"
#include "../shim.h"

#include <signal.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int suspending(const sigset_t *);
typedef int pausing(int);
typedef int pausing_either(int, int);

int __sigsuspend(const sigset_t *mask);
int __xpg_sigpause(int signo);
int __sigpause(int signo_or_mask, int is_signo);
/* libc's header renames sigpause to the X/Open one, which takes a signal instead of a mask. */
int sigpause_mask(int mask) __asm__("sigpause");

EXPORT int sigsuspend(const sigset_t *mask)
{
    return GRACE_WAIT(GRACE_REAL(suspending, "sigsuspend")(mask));
}

EXPORT int __sigsuspend(const sigset_t *mask)
{
    return sigsuspend(mask);
}

EXPORT int sigpause_mask(int mask)
{
    return GRACE_WAIT(GRACE_REAL(pausing, "sigpause")(mask));
}

EXPORT int __xpg_sigpause(int signo)
{
    return GRACE_WAIT(GRACE_REAL(pausing, "__xpg_sigpause")(signo));
}

EXPORT int __sigpause(int signo_or_mask, int is_signo)
{
    return GRACE_WAIT(GRACE_REAL(pausing_either, "__sigpause")(signo_or_mask, is_signo));
}
