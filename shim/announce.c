/*
 * Announcing before the target's own handler.
 *
 * A chain signal that the target handles itself is kept back while the announce hooks run, and
 * during the drain where one comes before that handler; then it is queued again as it was (kept.c),
 * and the handler runs where the kernel delivers it. A target that takes the signal by a call of
 * its own (sigwait, signalfd) announces within that call. It happens once: the chain signals behind
 * it go straight to the target, unless the stop was taken back.
 */
#include "shim.h"

#include "drain.h"
#include "hooks/room.h"
#include "raw.h"

enum { UNANNOUNCED, ANNOUNCING, ANNOUNCED };

static _Atomic uint32_t announcement; /* futex: moves to ANNOUNCED, or back to UNANNOUNCED */
static bool drains_first;             /* whether the drain, too, comes before the handler */

static void announce(bool in_process)
{
    grace_stop_announce(in_process);
    bool taken_back = in_process && drains_first && !grace_stop_drain_first();
    atomic_store(&announcement, taken_back ? UNANNOUNCED : ANNOUNCED);
    grace_futex_wake_all(&announcement);
    if (taken_back)
        return;
    grace_signalfd_open();
    grace_kept_release();
}

static void *conductor(void *unused)
{
    announce(true);
    return unused;
}

static void stuck(void)
{
    announce(false);
}

GRACE_LAUNCH_STACK(announce_stack);
static struct grace_launch launch;
static const struct grace_launched announcing = {
    .conductor = conductor, .stuck = stuck, .stack_end = announce_stack + sizeof announce_stack};

static bool has_to_announce(void)
{
    return grace_conductor_has_work(GRACE_PHASE_ANNOUNCE, GRACE_PHASE_ANNOUNCE, GRACE_CAUSE_SIGNAL);
}

bool grace_announce_may_drain(bool once)
{
    enum grace_drain_when when = grace_shim.plan->drain.when;
    return when == GRACE_DRAIN_ALWAYS || (when == GRACE_DRAIN_AUTO && once);
}

bool grace_announce_first(int signo, const siginfo_t *info, const ucontext_t *context, bool once)
{
    if (grace_stop_is_under_way() || atomic_load(&announcement) == ANNOUNCED)
        return true;
    grace_stop_note_signal(signo, info);
    /* When raise and kill of itself return, the handler has run (POSIX, kill, "Description"). */
    if (grace_frame_sent_by(context, info))
        return true;
    bool under_way = atomic_load(&announcement) == ANNOUNCING;
    bool drains = !under_way && grace_announce_may_drain(once) && grace_drain_has_work();
    if (!under_way && !drains && !has_to_announce())
        return true;
    grace_kept_add(signo, info);
    uint32_t not_yet = UNANNOUNCED;
    if (atomic_compare_exchange_strong(&announcement, &not_yet, ANNOUNCING)) {
        drains_first = drains;
        grace_launch(&launch, &announcing, signo, context);
    } else {
        grace_stop_hurry();
    }
    if (atomic_load(&announcement) == ANNOUNCED)
        grace_kept_release(); /* it came too late to be released with the others */
    return false;
}

GRACE_IN_CHILDREN bool grace_announce_drains(void)
{
    return drains_first && atomic_load(&announcement) != UNANNOUNCED;
}

bool grace_announce_is_owed(void)
{
    return !grace_stop_is_under_way() && atomic_load(&announcement) == UNANNOUNCED &&
           (grace_announce_may_drain(false) || has_to_announce());
}

bool grace_announce_here(int signo, const siginfo_t *info)
{
    GRACE_KEEP_ERRNO;
    if (grace_stop_is_under_way() || atomic_load(&announcement) == ANNOUNCED ||
        grace_stop_hands_over(false) != 0)
        return true;
    grace_stop_note_signal(signo, info);
    bool drains = grace_announce_may_drain(false) && grace_drain_has_work();
    if (!drains && !has_to_announce() && atomic_load(&announcement) == UNANNOUNCED)
        return true;
    /* A handler of the target's that ran above us and exits would wait for us in vain. */
    uint64_t mask;
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
    uint32_t not_yet = UNANNOUNCED;
    if (atomic_compare_exchange_strong(&announcement, &not_yet, ANNOUNCING)) {
        drains_first = drains;
        announce(true);
    } else if (grace_launch_take_over(&launch)) {
        announce(true);
    }
    while (atomic_load(&announcement) == ANNOUNCING)
        grace_futex_wait(&announcement, ANNOUNCING, -1);
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    return atomic_load(&announcement) == ANNOUNCED;
}

bool grace_announce_retry(const siginfo_t *info, const ucontext_t *context)
{
    return grace_launch_retry(&launch, info, context);
}
