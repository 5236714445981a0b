/*
 * Worker threads: where in-process hooks run.
 *
 * One thread serves hook after hook while they behave. One that passes its timeout, faults, aborts
 * or exits is abandoned with its thread: never cancelled (it may hold any lock), never used again.
 * Which thread is a worker is told by its stack, which is ours: no thread-local storage, so the
 * question can be asked in a signal handler of any thread.
 *
 * Faults are caught by handlers for the synchronous signals that stand only while hooks run. A
 * fault in a thread that is no worker goes where it would have gone: to the target's handler, or to
 * the kernel with the default action in place again.
 */
#include "shim.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#pragma weak __pthread_register_cancel /* not in every libc that may load us: is_in_front() */

#include "arch.h"
#include "hooks/room.h"
#include "raw.h"

#define STACK_SIZE     (8u << 20) /* what a thread has by default */
#define ALTERNATE_SIZE (16u << 10)
#define GUARD_SIZE     (64u << 10)

enum { FRESH, BUSY, FINISHED, LOST };

struct worker {
    struct worker *next; /* older worker; the list only grows */
    char *base;          /* guard, then the stack, then the alternate stack */
    size_t size;
    grace_work *work;
    _Atomic uint32_t state; /* futex: FRESH → BUSY ⇄ FINISHED, or → LOST for ever */
    enum grace_outcome outcome;
    int detail;
    int pid;
    /* A copy of its own: a hook that was abandoned may still write to it. */
    _Alignas(16) char argument[GRACE_WORK_MAX];
};

static _Atomic(struct worker *) workers;
static struct worker *current; /* of the conductor: the one that takes the next hook */

/* ---- who is a worker ----------------------------------------------------------------------- */

static struct worker *worker_of(uintptr_t address)
{
    struct worker *worker = atomic_load_explicit(&workers, memory_order_acquire);
    while (worker != NULL && address - (uintptr_t)worker->base >= worker->size)
        worker = worker->next;
    return worker;
}

bool grace_worker_is_current(void)
{
    return worker_of((uintptr_t)__builtin_frame_address(0)) != NULL;
}

/* ---- the end of a hook --------------------------------------------------------------------- */

static void publish(struct worker *worker, enum grace_outcome outcome, int detail, uint32_t state)
{
    uint32_t busy = BUSY;
    worker->outcome = outcome;
    worker->detail = detail;
    /* Fails when the conductor has given up on this worker: then nobody reads the result. */
    if (atomic_compare_exchange_strong_explicit(&worker->state, &busy, state, memory_order_acq_rel,
                                                memory_order_relaxed))
        grace_stop_bell_tap();
}

static _Noreturn void park(void)
{
    static _Atomic uint32_t never;
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, NULL);
    for (;;)
        grace_futex_wait(&never, 0, -1);
}

static _Noreturn void give_up(struct worker *worker, enum grace_outcome outcome, int detail)
{
    if (grace_getpid() != worker->pid)
        grace_real__exit(outcome == GRACE_OUTCOME_ENDED ? detail : 128 + detail); /* its fork */
    publish(worker, outcome, detail, LOST);
    park();
}

_Noreturn void grace_worker_give_up(enum grace_outcome outcome, int detail)
{
    give_up(worker_of((uintptr_t)__builtin_frame_address(0)), outcome, detail);
}

/* pthread_exit inside a hook. */
static void on_thread_exit(void *argument)
{
    publish(argument, GRACE_OUTCOME_ENDED, 0, LOST);
}

/* ---- faults -------------------------------------------------------------------------------- */

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
#define FAULTS (sizeof fault_signals / sizeof *fault_signals)
static struct sigaction target_actions[FAULTS] GRACE_ROOM(actions);
static bool catching;
static bool lost; /* a hook was abandoned and may still do anything */

static void pass_on(int signo, siginfo_t *info, void *context, const struct sigaction *action)
{
    if (action->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN) {
        /* A fault happens again on return, now without us; one that was sent is sent again. */
        struct sigaction by_default = {.sa_handler = SIG_DFL};
        grace_real_sigaction()(signo, &by_default, NULL);
        if (info->si_code <= 0)
            syscall(SYS_rt_tgsigqueueinfo, grace_getpid(), grace_gettid(), signo, info);
        return;
    }
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signo, info, context);
    else
        action->sa_handler(signo);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    GRACE_KEEP_ERRNO;
    struct worker *worker = worker_of(grace_context_sp(context));
    if (worker != NULL)
        give_up(worker, GRACE_OUTCOME_SIGNAL, signo);
    for (size_t i = 0; i < FAULTS; i++)
        if (fault_signals[i] == signo)
            pass_on(signo, info, context, &target_actions[i]);
}

void grace_worker_stand_down(void)
{
    if (!catching || lost)
        return;
    for (size_t i = 0; i < FAULTS; i++) {
        struct sigaction now;
        if (grace_real_sigaction()(fault_signals[i], NULL, &now) == 0 &&
            now.sa_sigaction == on_fault)
            grace_real_sigaction()(fault_signals[i], &target_actions[i], NULL);
    }
    catching = false;
}

static void catch_faults(void)
{
    if (catching)
        return;
    catching = true;
    for (size_t i = 0; i < FAULTS; i++) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        if (grace_real_sigaction()(fault_signals[i], NULL, &target_actions[i]) != 0)
            continue;
        if (target_actions[i].sa_handler != SIG_DFL && target_actions[i].sa_handler != SIG_IGN) {
            action.sa_mask = target_actions[i].sa_mask;
            action.sa_flags |= target_actions[i].sa_flags & (SA_NODEFER | SA_RESTART);
        }
        grace_real_sigaction()(fault_signals[i], &action, NULL);
    }
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void unblock_faults(void)
{
    uint64_t set = 0;
    for (size_t i = 0; i < FAULTS; i++)
        set |= GRACE_SIGNAL_BIT(fault_signals[i]);
    grace_sigprocmask(SIG_UNBLOCK, set, NULL);
}

/* False: the conductor has given up on this worker. */
static bool wait_for_work(struct worker *worker)
{
    uint32_t state;
    while ((state = atomic_load_explicit(&worker->state, memory_order_acquire)) != BUSY) {
        if (state == LOST)
            return false;
        if (!grace_kernel_changes_soon(&worker->state, state))
            grace_futex_wait(&worker->state, state, -1);
    }
    return true;
}

static void serve(struct worker *worker)
{
    while (wait_for_work(worker)) {
        int result = worker->work(worker->argument);
        if (grace_getpid() != worker->pid)
            grace_real__exit(0); /* the hook forked and let both return */
        publish(worker, result == 0 ? GRACE_OUTCOME_DONE : GRACE_OUTCOME_ERROR, result, FINISHED);
    }
    park();
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    /* Handlers that catch a stack overflow need a stack of their own. */
    stack_t alternate = {.ss_sp = worker->base + worker->size - ALTERNATE_SIZE,
                         .ss_size = ALTERNATE_SIZE};
    sigaltstack(&alternate, NULL);
    unblock_faults();
    pthread_cleanup_push(on_thread_exit, worker);
    serve(worker);
    pthread_cleanup_pop(0);
    return NULL;
}

static struct worker *worker_start(void)
{
    const size_t size = GUARD_SIZE + STACK_SIZE + ALTERNATE_SIZE + sizeof(struct worker);
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    mprotect(base, GUARD_SIZE, PROT_NONE);
    struct worker *worker = (struct worker *)(base + GUARD_SIZE + STACK_SIZE + ALTERNATE_SIZE);
    worker->base = base; /* the rest is zero: FRESH */
    worker->size = size - sizeof *worker;
    worker->pid = grace_getpid();
    worker->next = atomic_load_explicit(&workers, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&workers, &worker->next, worker,
                                                  memory_order_release, memory_order_relaxed))
        continue;

    pthread_attr_t attributes;
    pthread_t thread;
    uint64_t mask;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstack(&attributes, base + GUARD_SIZE, STACK_SIZE);
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
    int result = pthread_create(&thread, &attributes, worker_main, worker);
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    pthread_attr_destroy(&attributes);
    return result == 0 ? worker : NULL;
}

/* ---- made ready beside the conductor ------------------------------------------------------- */

/*
 * The first worker is started by the thread that has started the conductor, while that one logs and
 * looks what there is to drain. It also is the cheaper place: for its first allocation a new thread
 * maps an arena of its own.
 */
enum { NOBODY, UNDER_WAY, READY, TAKEN };

/* The other thread has nothing else to do, but may not get to run. */
#define PREPARED_LIMIT_MS 20

static struct {
    _Atomic uint32_t state; /* futex */
    struct worker *worker;
} prepared;

void grace_worker_prepare(void)
{
    uint32_t expected = NOBODY;
    if (!atomic_compare_exchange_strong(&prepared.state, &expected, UNDER_WAY))
        return;
    struct worker *worker = prepared.worker = worker_start();
    expected = UNDER_WAY;
    if (atomic_compare_exchange_strong(&prepared.state, &expected, READY)) {
        grace_futex_wake_all(&prepared.state);
    } else if (worker != NULL) { /* too late */
        atomic_store_explicit(&worker->state, LOST, memory_order_release);
        grace_futex_wake_all(&worker->state);
    }
}

/* NULL: there is none. */
static struct worker *take_prepared(void)
{
    uint64_t now = grace_now_ms(), until = now + PREPARED_LIMIT_MS;
    uint32_t state;
    for (;; now = grace_now_ms()) {
        state = atomic_load(&prepared.state);
        if (state == UNDER_WAY && now < until)
            grace_futex_wait(&prepared.state, UNDER_WAY, (int64_t)(until - now));
        else if (atomic_compare_exchange_strong(&prepared.state, &state, TAKEN))
            return state == READY ? prepared.worker : NULL;
    }
}

/* ---- for the conductor --------------------------------------------------------------------- */

/* Wait until the worker is through or the time is up; then it is lost. */
static uint32_t await(struct worker *worker, uint32_t timeout_ms)
{
    if (grace_kernel_changes_soon(&worker->state, BUSY))
        return atomic_load_explicit(&worker->state, memory_order_acquire);
    uint64_t until = grace_now_ms() + timeout_ms;
    for (;;) {
        uint32_t bell = grace_stop_bell_value();
        uint32_t state = atomic_load_explicit(&worker->state, memory_order_acquire);
        if (state != BUSY)
            return state;
        uint64_t now = grace_now_ms();
        if (now >= until || grace_stop_is_cut()) {
            if (atomic_compare_exchange_strong_explicit(&worker->state, &state, LOST,
                                                        memory_order_acq_rel, memory_order_acquire))
                return BUSY;
            return state;
        }
        grace_stop_bell_wait(bell, (int64_t)(until - now));
    }
}

enum grace_outcome grace_worker_run(grace_work *work, void *argument, size_t size,
                                    uint32_t timeout_ms, int *detail)
{
    catch_faults();
    if (current == NULL)
        current = take_prepared();
    if (current == NULL)
        current = worker_start();
    if (current == NULL) {
        *detail = EAGAIN;
        return GRACE_OUTCOME_NOT_STARTED;
    }
    struct worker *worker = current;
    worker->work = work;
    memcpy(worker->argument, argument, size);
    atomic_store_explicit(&worker->state, BUSY, memory_order_release);
    grace_futex_wake_all(&worker->state);

    uint32_t state = await(worker, timeout_ms);
    if (state != FINISHED) {
        current = NULL;
        lost = true;
    }
    if (state == BUSY)
        return GRACE_OUTCOME_TIMEOUT;
    *detail = worker->detail;
    enum grace_outcome outcome = worker->outcome;
    memcpy(argument, worker->argument, size);
    return outcome;
}
