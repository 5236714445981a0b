/*
 * Forked workers. One is not the owner and runs no hooks, but a stop signal that would kill it
 * drains its own connections first; then it dies by that signal, as it would have. That is also
 * how it ends when it has nothing more to do and exits before the drain is over. Where a drain
 * comes before a handler of the program's, a worker's handler, too, gets its signal after that.
 *
 * One that is forked while its parent drains serves a connection of the parent's: it goes along,
 * without a signal and without an end of ours.
 *
 * Only a process that fork made has memory of its own to do this in: a child of vfork or
 * posix_spawn shares its parent's.
 */
#include "shim/drain.h"

#include <pthread.h>

#include "holders.h"
#include "hooks/flush_stdio.h"
#include "hooks/process.h"
#include "hooks/room.h"
#include "shim/answers.h"
#include "shim/raw.h"

/* As in stop.c: what comes twice in a moment is one. */
#define SECOND_SIGNAL_AFTER_MS 500

/* How long flushing stdio waits for readers. */
#define FLUSH_PATIENCE_MS 800

static struct {
    _Atomic int32_t pid;         /* of this process, when it was forked; 0: it was not */
    _Atomic uint32_t dies;       /* enum below */
    _Atomic uint32_t goes_along; /* enum below */
    _Atomic uint64_t cut_ms;
    uint64_t began_ms;
    int signo;
    siginfo_t info;
    bool has_handler; /* which gets the signal once the drain is over */
} worker GRACE_SEEN_BY_CHILDREN(worker);

/* As of this process's beginning; others read it out of its memory. */
#define LATE_MARK UINT64_C(0x6c6174652d626f72)
static struct late {
    uint64_t mark;
    int32_t pid; /* of who was forked while its forebear drained */
} late;

/* A signal that ends it: none came; one did; what is known of it is written down; its handler's
 * turn has come. */
enum { LIVES, STRUCK, DIES, DRAINED };

/* Forked while its parent drained: no, its thread has still to be started, or runs. */
enum { ALONE, TO_GO_ALONG, GOES_ALONG };

static bool is_off(void)
{
    return atomic_load(&worker.cut_ms) != 0;
}

static void end(void)
{
    uint32_t dies = DIES;
    if (!worker.has_handler)
        grace_end_by_signal(worker.signo, &worker.info);
    if (atomic_compare_exchange_strong(&worker.dies, &dies, DRAINED))
        syscall(SYS_rt_sigqueueinfo, grace_gettid(), worker.signo, &worker.info); /* see kept.c */
}

static void *conductor(void *unused)
{
    const struct grace_drain_how how = {
        .signo = worker.signo,
        .until_ms = worker.began_ms + grace_shim.plan->deadline_ms,
        .is_off = is_off,
        .goes_on = worker.has_handler,
    };
    grace_drain(&how);
    end();
    return unused;
}

GRACE_LAUNCH_STACK(worker_stack);
static struct grace_launch launch;
static const struct grace_launched draining = {
    .conductor = conductor, .stuck = end, .stack_end = worker_stack + sizeof worker_stack};

/* The second cuts the drain short; a third ends it whatever hangs. */
static void another_signal(void)
{
    uint64_t now = grace_now_ms(), uncut = 0;
    if (atomic_load(&worker.dies) != DIES || now - worker.began_ms < SECOND_SIGNAL_AFTER_MS ||
        grace_shim.plan->second_signal == GRACE_SECOND_IGNORE)
        return;
    if (atomic_compare_exchange_strong(&worker.cut_ms, &uncut, now))
        grace_stop_bell_ring();
    else if (now - uncut >= SECOND_SIGNAL_AFTER_MS)
        end();
}

/* Whether the signal is not the drain's affair: it has a handler that no drain comes before, or no
 * more, or ends a process whose drain is for the sake of a handler. */
static bool takes_its_course(int signo, const struct grace_disposition *disposition)
{
    bool has_handler = disposition->handler != NULL;
    switch (atomic_load(&worker.dies)) {
    case LIVES:
        return has_handler && !((grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) &&
                                grace_announce_may_drain(disposition->once));
    case DRAINED:
        return true;
    default:
        return worker.has_handler ? signo != worker.signo : has_handler;
    }
}

/* ---- becoming one -------------------------------------------------------------------------- */

/* The signal by which the parent is being stopped, or this process's own forebear; 0: it is not. */
GRACE_IN_CHILDREN static int stop_under_way(void)
{
    return atomic_load(&worker.dies) == DIES ? worker.signo : grace_stop_drains_by();
}

/* Once in each process. What a parent that drains left in this memory is not the child's. */
static void become_worker(int32_t self)
{
    int signo = stop_under_way();
    int32_t before = atomic_load(&worker.pid);
    if (before == self || !atomic_compare_exchange_strong(&worker.pid, &before, self))
        return;
    if (signo == 0 && !grace_drain_has_begun())
        return;
    atomic_store(&worker.dies, LIVES);
    atomic_store(&worker.goes_along, signo != 0 ? TO_GO_ALONG : ALONE);
    grace_drain_forget();
    if (signo != 0)
        grace_drain_wake_self(signo); /* a thread is started where that is safe */
}

/* Whether this is a worker: a process learns it when its first signal comes, not at the fork, so
 * that a fork writes nothing. */
static bool is_worker(void)
{
    int32_t self = grace_getpid();
    if (atomic_load(&worker.pid) != self && !grace_is_owner() && grace_is_forked())
        become_worker(self);
    return atomic_load(&worker.pid) == self;
}

/* While its parent drains it has to go along without a signal. */
GRACE_IN_CHILDREN static void begin_as_child(void)
{
    if (stop_under_way() == 0 && !grace_drain_has_begun())
        return;
    grace_answers_after_fork(true);
    if (stop_under_way() != 0)
        late = (struct late){LATE_MARK, grace_getpid()};
    become_worker(grace_getpid());
}

static void go_to_fork(void)
{
    if (grace_drain_has_begun())
        grace_answers_before_fork();
}

static void go_on_as_parent(void)
{
    grace_answers_after_fork(false);
}

void grace_drain_setup(void)
{
    if (grace_shim.plan->drain.when == GRACE_DRAIN_NEVER)
        return;
    grace_holders_at_load();
    pthread_atfork(go_to_fork, go_on_as_parent, begin_as_child);
}

/* ---- a signal that kills it ---------------------------------------------------------------- */

bool grace_drain_worker_first(int signo, const siginfo_t *info, const ucontext_t *context,
                              const struct grace_disposition *disposition)
{
    uint32_t lives = LIVES;
    bool by_itself = info->si_code == SI_TKILL && info->si_pid == grace_getpid();
    if (!is_worker() || takes_its_course(signo, disposition))
        return false;
    if (atomic_load(&worker.dies) == LIVES &&
        (by_itself || !(atomic_load(&worker.goes_along) != ALONE || grace_drain_has_work())))
        return false;
    if (!atomic_compare_exchange_strong(&worker.dies, &lives, STRUCK)) {
        another_signal();
        return true;
    }
    worker.signo = signo;
    worker.info = *info;
    worker.has_handler = disposition->handler != NULL;
    worker.began_ms = grace_now_ms();
    atomic_store(&worker.dies, DIES);
    if (atomic_load(&worker.goes_along) == ALONE)
        grace_launch(&launch, &draining, signo, context);
    return true;
}

/* ---- forked while its parent drains -------------------------------------------------------- */

/* No signal came here, and none kills it; but a client that never pauses would hold it for ever. */
static void *conductor_of_late(void *unused)
{
    const struct grace_drain_how how = {
        .until_ms = grace_now_ms() + grace_shim.plan->deadline_ms,
        .is_off = is_off,
        .connections_only = true,
    };
    grace_drain(&how);
    grace_drain_forget();
    atomic_store(&worker.goes_along, ALONE);
    if (atomic_load(&worker.dies) == DIES)
        end();
    return unused;
}

bool grace_drain_worker_born_late(int pid)
{
    struct late its = {0};
    return grace_process_read(pid, (uintptr_t)&late, &its, sizeof its) && its.mark == LATE_MARK &&
           its.pid == pid;
}

static void go_alone(void)
{
    atomic_store(&worker.goes_along, ALONE);
}

GRACE_LAUNCH_STACK(late_stack);
static struct grace_launch late_launch;
static const struct grace_launched going_along = {
    .conductor = conductor_of_late, .stuck = go_alone, .stack_end = late_stack + sizeof late_stack};

void grace_drain_worker_woke(int signo, const siginfo_t *info, const ucontext_t *context)
{
    /* Another process asks for it, or we ourselves did as we were forked. */
    uint32_t before = info->si_pid != 0 ? ALONE : TO_GO_ALONG;
    if (is_worker() && atomic_load(&worker.dies) == LIVES &&
        atomic_compare_exchange_strong(&worker.goes_along, &before, GOES_ALONG))
        grace_launch(&late_launch, &going_along, signo, context);
}

bool grace_drain_worker_retry(const siginfo_t *info, const ucontext_t *context)
{
    return grace_launch_retry(&launch, info, context) ||
           grace_launch_retry(&late_launch, info, context);
}

/* ---- its end ------------------------------------------------------------------------------- */

GRACE_IN_CHILDREN void grace_drain_worker_ends(enum grace_cause cause, int status)
{
    struct grace_flushed flushed;
    if (atomic_load(&worker.dies) != DIES || worker.has_handler ||
        atomic_load(&worker.pid) != grace_getpid())
        return;
    if (cause == GRACE_CAUSE_EXIT && status >= 0)
        return; /* what exit does comes first; then we are called again */
    if (cause == GRACE_CAUSE_EXIT)
        grace_flush_stdio(GRACE_FLUSH_BUSY_MS, FLUSH_PATIENCE_MS, &flushed);
    end();
}
