/*
 * The ending itself, when the hooks are through.
 *
 * A stop that libgrace led ends as the kernel would have ended it: by the signal's default action
 * with the siginfo that it came with, so that the parent sees the wait status it would have seen.
 * `end = "exit"` has the main thread call exit(128 + signo) instead, in normal context: the
 * signal's own handler is redirected there when it interrupts the main thread at a safe point.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

#include "arch.h"
#include "hooks/flush_stdio.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "raw.h"

/* How long flushing stdio waits for readers, and the longest that it may take: a thread that hangs
 * inside libc's stdio would hold it for ever. */
#define FLUSH_PATIENCE_MS 800
#define FLUSH_LIMIT_MS    1000

/* How long the main thread may take to come to a safe point before it is not waited for. */
#define EXIT_LIMIT_MS 3000
#define EXIT_RETRY_MS 1

_Noreturn GRACE_IN_CHILDREN void grace_real__exit(int status)
{
    for (;;)
        grace_kernel(SYS_exit_group, status);
}

_Noreturn void grace_end_by_signal(int signo, const siginfo_t *info)
{
    struct grace_kernel_sigaction by_default;
    pid_t pid = grace_getpid();
    siginfo_t copy = *info;
    memset(&by_default, 0, sizeof by_default);
    if (pid != 1) { /* the kernel spares the init of a namespace */
        grace_rt_sigaction(signo, &by_default, NULL);
        syscall(SYS_rt_tgsigqueueinfo, pid, grace_gettid(), signo, &copy);
        grace_sigprocmask(SIG_UNBLOCK, GRACE_SIGNAL_BIT(signo), NULL);
    }
    grace_real__exit(128 + signo);
}

/* ---- stdio --------------------------------------------------------------------------------- */

static int flush(void *result)
{
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, FLUSH_PATIENCE_MS, result);
    return 0;
}

static void flush_bounded(void)
{
    struct grace_flushed flushed = {.flushed = 0};
    int detail;
    enum grace_outcome outcome =
        grace_worker_run(flush, &flushed, sizeof flushed, FLUSH_LIMIT_MS, &detail);
    if (outcome == GRACE_OUTCOME_TIMEOUT)
        grace_log(GRACE_LOG_WARNING, "flush", "stdio not flushed: %s",
                  grace_stop_is_cut() ? "the stop was cut short" : "a thread is inside it");
    else if (flushed.skipped + flushed.stuck + flushed.failed > 0)
        grace_log(GRACE_LOG_WARNING, "flush",
                  "open streams not flushed: %u in use by a thread, %u whose reader does not read, "
                  "%u that cannot be written",
                  flushed.skipped, flushed.stuck, flushed.failed);
}

/* ---- end = "exit" -------------------------------------------------------------------------- */

static const char exit_request; /* its address tells our request from any other siginfo */
static _Atomic uint32_t exit_redirected;

static void exit_in_normal_context(long status)
{
    grace_stop_let_exit_pass();
    exit((int)status);
}

bool grace_end_exit_requested(const siginfo_t *info, ucontext_t *context)
{
    if (info->si_code != SI_QUEUE || info->si_value.sival_ptr != &exit_request)
        return false;
    uint32_t no = 0;
    bool safe = context == NULL || grace_safepoint_at(context);
    if (!safe || !atomic_compare_exchange_strong(&exit_redirected, &no, 1))
        return true;
    if (context == NULL)
        exit_in_normal_context(128 + grace_stop_facts()->signo);
    grace_context_redirect(context, exit_in_normal_context, 128 + grace_stop_facts()->signo);
    return true;
}

/* Returns when the main thread cannot be had, or does not come to its end by the deadline. */
static void exit_by_main_thread(void)
{
    const struct grace_stop_facts *facts = grace_stop_facts();
    siginfo_t request;
    memset(&request, 0, sizeof request);
    request.si_signo = facts->signo;
    request.si_code = SI_QUEUE;
    request.si_value.sival_ptr = (void *)(uintptr_t)&exit_request;
    pid_t pid = grace_getpid();
    uint64_t limit = grace_now_ms() + EXIT_LIMIT_MS;
    uint64_t deadline = facts->began_ms + grace_shim.plan->deadline_ms;
    if (limit > deadline)
        limit = deadline;
    while (atomic_load(&exit_redirected) == 0) {
        if (grace_now_ms() >= limit) {
            grace_log(
                GRACE_LOG_WARNING, "end",
                "the main thread cannot call exit (it blocks the signal, or is busy inside libc); "
                "ending with status %d without it",
                128 + facts->signo);
            return;
        }
        syscall(SYS_rt_tgsigqueueinfo, pid, pid, facts->signo, &request);
        grace_futex_wait(&exit_redirected, 0, EXIT_RETRY_MS);
    }
    for (uint64_t now; (now = grace_now_ms()) < deadline;)
        grace_futex_wait(&exit_redirected, 1, (int64_t)(deadline - now));
    grace_log(GRACE_LOG_WARNING, "end", "exit has not come to its end by the deadline");
}

/* ---- the end ------------------------------------------------------------------------------- */

const char *grace_end_description(void)
{
    if (grace_stop_facts()->cause != GRACE_CAUSE_SIGNAL || !grace_stop_is_led_by_signal())
        return "the target goes on to its end";
    switch (grace_shim.plan->end) {
    case GRACE_END_EXIT:
        return "the target exits";
    case GRACE_END_STATUS:
        return "the target exits with the status that the config gives";
    default:
        return "the signal takes its course";
    }
}

_Noreturn void grace_end(bool in_thread)
{
    const struct grace_stop_facts *facts = grace_stop_facts();
    if (grace_shim.plan->end == GRACE_END_EXIT && in_thread) {
        exit_by_main_thread();
        grace_real__exit(128 + facts->signo);
    }
    if (in_thread)
        flush_bounded();
    if (grace_shim.plan->end == GRACE_END_STATUS)
        grace_real__exit(grace_shim.plan->end_status);
    if (grace_shim.plan->end == GRACE_END_EXIT)
        grace_real__exit(128 + facts->signo);
    grace_end_by_signal(facts->signo, &facts->info);
}
