/*
 * Handlers of the target's that wait for a safe point.
 *
 * As long as a program has one thread, libc takes none of malloc's locks (glibc, malloc/malloc.c,
 * SINGLE_THREAD_P). A handler that allocates over an interrupted malloc is wrong, and gets away
 * with it: many an old daemon's does. Once a thread of libgrace's has been there libc takes these
 * locks, and that handler would wait for itself for ever. So from then on a handler for a stop
 * signal that comes from elsewhere is called at a safe point only, as if the signal had been sent a
 * moment later. Where none comes it is called at any place. (Handlers for other signals are called
 * by the kernel itself: README says so.)
 *
 * Not put off: what the interrupted code itself causes (a fault, SIGPIPE, raise), since it cannot
 * go on before; real-time signals, which are queued in order. A program that had threads of its own
 * before ours is as it was.
 */
#include "shim.h"

#include <sys/single_threaded.h>

#include "hooks/room.h"

/* libc's before 2.32 and musl's do not tell. */
#pragma weak __libc_single_threaded

/* A loop of nothing but malloc, free and rand is at a safe point once in 200 looks. */
#define LIMIT_MS 5000

#define SYNCHRONOUS                                                                                \
    (GRACE_SIGNAL_BIT(SIGSEGV) | GRACE_SIGNAL_BIT(SIGBUS) | GRACE_SIGNAL_BIT(SIGFPE) |             \
     GRACE_SIGNAL_BIT(SIGILL) | GRACE_SIGNAL_BIT(SIGTRAP) | GRACE_SIGNAL_BIT(SIGSYS) |             \
     GRACE_SIGNAL_BIT(SIGABRT) | GRACE_SIGNAL_BIT(SIGPIPE) | GRACE_SIGNAL_BIT(SIGXFSZ))

enum { NONE, TAKEN, WAITS };

/* As many as the kernel keeps of a standard signal: one. */
static struct putoff {
    _Atomic uint32_t state;
    siginfo_t info;
    struct grace_again again;
} putoffs[__SIGRTMIN] GRACE_ROOM(putoffs);

static _Atomic bool was_alone; /* the target had one thread when the first of ours began */

void grace_putoff_begin(void)
{
    const char *alone = &__libc_single_threaded;
    if (alone != NULL && *alone)
        atomic_store(&was_alone, true);
}

static bool comes_again(struct putoff *putoff, siginfo_t *info, const ucontext_t *context,
                        bool has_handler)
{
    uint32_t waits = WAITS;
    if (!atomic_compare_exchange_strong(&putoff->state, &waits, TAKEN))
        return true; /* the last of a timer that is gone */
    putoff->again.looks++;
    if (has_handler && context != NULL && !grace_safepoint_at(context) &&
        !grace_again_is_over(&putoff->again)) {
        atomic_store(&putoff->state, WAITS);
        grace_again_arm(&putoff->again);
        return true;
    }
    grace_again_stop(&putoff->again);
    *info = putoff->info;
    atomic_store(&putoff->state, NONE);
    return false;
}

static bool may_wait(int signo, const siginfo_t *info, const ucontext_t *context)
{
    return context != NULL && !(SYNCHRONOUS & GRACE_SIGNAL_BIT(signo)) && grace_is_owner() &&
           !grace_safepoint_at(context) && !grace_stop_waits_here() &&
           !grace_frame_sent_by(context, info);
}

/* False: one is on its way. It never comes where the target has ignored the signal meanwhile. */
static bool take(struct putoff *putoff)
{
    uint32_t state = NONE;
    if (atomic_compare_exchange_strong(&putoff->state, &state, TAKEN))
        return true;
    if (state == TAKEN || !grace_again_is_over(&putoff->again) ||
        !atomic_compare_exchange_strong(&putoff->state, &state, TAKEN))
        return false;
    grace_again_stop(&putoff->again);
    return true;
}

bool grace_putoff_is_on(void)
{
    return atomic_load_explicit(&was_alone, memory_order_relaxed);
}

bool grace_putoff_signal(int signo, siginfo_t *info, const ucontext_t *context, bool has_handler)
{
    if (signo >= __SIGRTMIN || !grace_putoff_is_on())
        return false;
    struct putoff *putoff = &putoffs[signo];
    if (grace_again_sent(&putoff->again, info))
        return comes_again(putoff, info, context, has_handler);
    if (!has_handler || !may_wait(signo, info, context))
        return false;
    if (!take(putoff))
        return true;
    putoff->info = *info;
    grace_again_begin(&putoff->again, signo, LIMIT_MS);
    bool started = grace_again_start(&putoff->again);
    atomic_store(&putoff->state, started ? WAITS : NONE);
    return started;
}
