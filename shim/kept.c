/*
 * Signals kept back from the target until the announcement is over, and `deliver`: another signal
 * in place of the one that came.
 *
 * What is kept is queued again with the siginfo it came with, so the target's handler, sigwait or
 * descriptor gets it as if it had only just been sent. A signal for the process goes to the process
 * and the kernel chooses the thread once more. It lets a thread queue what looks like kill only to
 * itself (kernel/signal.c, do_rt_sigqueueinfo), but for rt_sigqueueinfo any thread's number stands
 * for its whole process. One for a thread goes to that thread, in the only form that the kernel
 * takes, SI_QUEUE with our mark, and is made what it was when it arrives. (A thread's by
 * pthread_sigqueue cannot be told from the process's: it goes to the process.)
 */
#include "shim.h"

#include "hooks/room.h"
#include "raw.h"

#define KEPT 64

enum { FREE, READY, GONE };

static struct {
    _Atomic uint32_t state;
    int signo;
    pid_t thread; /* 0: for the process */
    siginfo_t info;
} kept[KEPT] GRACE_ROOM(kept); /* the address of one is the mark */
static _Atomic uint32_t taken; /* entries in use, or about to be */

/* How many signals of a kind are on their way from us: these are not replaced a second time. */
static _Atomic uint32_t on_their_way[65];

static bool is_kept(int signo, pid_t thread, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < KEPT; i++)
        if (atomic_load_explicit(&kept[i].state, memory_order_acquire) == READY &&
            kept[i].signo == signo && kept[i].thread == thread)
            return true;
    return false;
}

void grace_kept_add(int signo, const siginfo_t *info)
{
    pid_t thread = info->si_code == SI_TKILL ? grace_gettid() : 0;
    /* Of a standard signal the kernel, too, keeps one; of a real-time signal all, in order. */
    if (signo < __SIGRTMIN && is_kept(signo, thread, atomic_load(&taken)))
        return;
    uint32_t place = atomic_fetch_add(&taken, 1);
    if (place >= KEPT) {
        atomic_store(&taken, KEPT);
        return;
    }
    kept[place].signo = signo;
    kept[place].thread = thread;
    kept[place].info = *info;
    atomic_store_explicit(&kept[place].state, READY, memory_order_release);
}

/* False when the thread is gone. */
static bool send_to_thread(uint32_t place)
{
    siginfo_t marked = kept[place].info;
    marked.si_code = SI_QUEUE;
    marked.si_value.sival_ptr = &kept[place];
    return grace_signal_send_on(kept[place].signo, &marked, kept[place].thread);
}

void grace_kept_release(void)
{
    for (uint32_t i = 0; i < KEPT; i++) {
        uint32_t ready = READY;
        if (!atomic_compare_exchange_strong(&kept[i].state, &ready, GONE))
            continue;
        if (kept[i].thread == 0 || !send_to_thread(i))
            grace_signal_send_on(kept[i].signo, &kept[i].info, 0);
    }
}

void grace_kept_discard(void)
{
    for (uint32_t i = 0; i < KEPT; i++)
        atomic_store(&kept[i].state, FREE);
    atomic_store(&taken, 0);
}

void grace_kept_restore(siginfo_t *info)
{
    uintptr_t place = (uintptr_t)info->si_value.sival_ptr - (uintptr_t)kept;
    if (info->si_code != SI_QUEUE || place >= sizeof kept || place % sizeof *kept != 0)
        return;
    int signo = info->si_signo;
    *info = kept[place / sizeof *kept].info;
    info->si_signo = signo;
}

/* ---- deliver ------------------------------------------------------------------------------- */

int grace_signal_delivered_as(int signo)
{
    int as = grace_shim.plan->deliver[signo];
    return as == 0 ? signo : as;
}

bool grace_signal_is_final(int signo)
{
    uint32_t count = atomic_load(&on_their_way[signo]);
    while (count > 0)
        if (atomic_compare_exchange_weak(&on_their_way[signo], &count, count - 1))
            return true;
    return grace_signal_delivered_as(signo) == signo;
}

bool grace_signal_send_on(int signo, const siginfo_t *info, pid_t thread)
{
    int as = grace_signal_delivered_as(signo);
    siginfo_t copy = *info;
    copy.si_signo = as;
    if (as != signo && grace_signal_delivered_as(as) != as)
        atomic_fetch_add(&on_their_way[as], 1);
    long result = thread != 0 ? syscall(SYS_rt_tgsigqueueinfo, grace_getpid(), thread, as, &copy)
                              : syscall(SYS_rt_sigqueueinfo, grace_gettid(), as, &copy);
    return result == 0;
}
