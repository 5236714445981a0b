/*
 * Forked workers. One is not the owner and runs no hooks, but a stop signal that would kill it
 * drains its own connections first; then it dies by that signal, as it would have. That is also
 * how it ends when it has nothing more to do and exits before the drain is over.
 *
 * Only a process that fork made has memory of its own to do this in: a child of vfork or
 * posix_spawn shares its parent's. The former are told by the handler that fork runs in them.
 */
#include "shim/drain.h"

#include <pthread.h>

#include "holders.h"
#include "hooks/flush_stdio.h"
#include "shim/raw.h"

/* As in stop.c: what comes twice in a moment is one. */
#define SECOND_SIGNAL_AFTER_MS 500

/* How long flushing stdio waits for readers. */
#define FLUSH_PATIENCE_MS 800

static struct {
    _Atomic int32_t pid; /* of this process, when it was forked; 0: it was not */
    _Atomic uint32_t draining;
    _Atomic uint32_t cut;
    uint64_t began_ms;
    int signo;
    siginfo_t info;
} worker;

static bool is_off(void)
{
    return atomic_load(&worker.cut) != 0;
}

static _Noreturn void end(void)
{
    grace_end_by_signal(worker.signo, &worker.info);
}

static void *conductor(void *unused)
{
    const struct grace_drain_how how = {
        .signo = worker.signo,
        .until_ms = worker.began_ms + grace_shim.plan->deadline_ms,
        .is_off = is_off,
    };
    grace_drain(&how);
    end();
    return unused;
}

static _Alignas(64) char stack[GRACE_LAUNCH_STACK];
static struct grace_launch launch = {
    .conductor = conductor, .stuck = end, .stack_end = stack + sizeof stack};

static void another_signal(void)
{
    if (grace_now_ms() - worker.began_ms < SECOND_SIGNAL_AFTER_MS ||
        grace_shim.plan->second_signal == GRACE_SECOND_IGNORE)
        return;
    atomic_store(&worker.cut, 1);
    grace_stop_bell_ring();
}

bool grace_drain_worker_first(int signo, const siginfo_t *info, const ucontext_t *context)
{
    uint32_t no = 0;
    bool by_itself = info->si_code == SI_TKILL && info->si_pid == grace_getpid();
    if (atomic_load(&worker.pid) != grace_getpid())
        return false;
    if (atomic_load(&worker.draining) == 0 && (by_itself || !grace_drain_has_work()))
        return false;
    if (!atomic_compare_exchange_strong(&worker.draining, &no, 1)) {
        another_signal();
        return true;
    }
    worker.signo = signo;
    worker.info = *info;
    worker.began_ms = grace_now_ms();
    grace_launch(&launch, signo, context);
    return true;
}

bool grace_drain_worker_retry(const siginfo_t *info, const ucontext_t *context)
{
    return grace_launch_retry(&launch, info, context);
}

void grace_drain_worker_ends(enum grace_cause cause, int status)
{
    struct grace_flushed flushed;
    if (atomic_load(&worker.draining) == 0 || atomic_load(&worker.pid) != grace_getpid())
        return;
    if (cause == GRACE_CAUSE_EXIT && status >= 0)
        return; /* what exit does comes first; then we are called again */
    if (cause == GRACE_CAUSE_EXIT)
        grace_flush_stdio(FLUSH_PATIENCE_MS, &flushed);
    end();
}

/* ---- becoming one -------------------------------------------------------------------------- */

static void begin_as_child(void)
{
    atomic_store(&worker.pid, grace_getpid());
    atomic_store(&worker.draining, 0);
    grace_holders_begin_as_child();
    grace_drain_forget();
}

void grace_drain_setup(void)
{
    if (grace_shim.plan->drain.when == GRACE_DRAIN_NEVER)
        return;
    grace_holders_at_load();
    pthread_atfork(NULL, NULL, begin_as_child);
}
