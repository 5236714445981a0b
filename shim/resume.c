/*
 * Waiting on after a signal that the target does not get to see.
 *
 * The kernel gives up some calls with EINTR whenever a handler ran, SA_RESTART or not (signal(7),
 * "Interruption of system calls and library functions by signal handlers"): poll, select, the
 * sleeps, System V's queues and semaphores, sockets with a time limit, and more. A target without a
 * handler would never have seen that: it would be dead. While its stop runs it goes on working, so
 * such a call has to go on as well.
 *
 * When our handler returns to a call that fails with EINTR, and no handler of the target's has run
 * for that signal, it leaves a mark for its thread. The wrappers of these calls (calls/wait_*.c)
 * find it behind libc's own call and wait on, with the time that is left. Before a stop a wrapper
 * costs one comparison of the result and, for calls with a time limit that the kernel does not
 * count down itself, one look at the clock: 20 ns, and no system call on any machine whose clock
 * source the vDSO reads. (The coarse clock would cost 5, but on an idle machine it is behind by
 * more than its resolution says, and a call would come back early.)
 *
 * The second case is a signal that waits for the announcement before the target's handler gets it.
 * That handler may have been set without SA_RESTART: then read, accept, wait and the like fail with
 * EINTR as well, before the handler ran. Nobody wraps read, so here the interrupted context is
 * moved back to make the call again, where the code just before it tells which call it was.
 *
 * Not covered: calls that wait for a while inside libc itself, calls made by syscall(2); and of
 * the second case aarch64 as a whole (the kernel overwrites the first argument) and on i386 the
 * calls with six arguments (splice), whose number is loaded elsewhere. Where a handler of the
 * target's runs at the very same moment, for another signal, the call waits on all the same.
 */
#include "resume.h"

#include "arch.h"
#include "hooks/kernel.h"
#include "object.h"
#include "shim.h"

#include <linux/net.h>

__thread struct grace_resume_left grace_resume_left
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Where a call was moved back to be made again, until it is. */
static __thread struct {
    uintptr_t ip, sp;
} repeated __attribute__((tls_model("initial-exec")));

/* How many handlers of the target's have run on this thread. */
static __thread unsigned handlers __attribute__((tls_model("initial-exec")));

/* libc's frames between a wrapper and the system call instruction are smaller than this. */
#define CALL_DEPTH 4096

/* Calls that SA_RESTART has the kernel make again (not with a time limit of the socket's), and that
 * are the same when made again. */
static bool may_be_repeated(const ucontext_t *context, long number)
{
    (void)context; /* only where one number stands for many calls */
    switch (number) {
#ifdef SYS_socketcall
    case SYS_socketcall: {
        long call = grace_context_argument(context, 0);
        return call == SYS_ACCEPT || (call >= SYS_SEND && call <= SYS_RECVFROM) ||
               (call >= SYS_SENDMSG && call <= SYS_SENDMMSG);
    }
#endif
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_preadv:
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
#ifdef SYS_accept
    case SYS_accept:
#endif
    case SYS_accept4:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_flock:
    case SYS_fcntl:
    case SYS_ioctl:
    case SYS_openat:
    case SYS_mq_timedreceive:
    case SYS_mq_timedsend:
#ifdef SYS_mq_timedreceive_time64
    case SYS_mq_timedreceive_time64:
    case SYS_mq_timedsend_time64:
    case SYS_recvmmsg_time64:
    case SYS_fcntl64:
    case SYS_sendfile64:
#endif
    case SYS_sendfile:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_fallocate:
        return true;
    default:
        return false;
    }
}

void grace_resume_mark(ucontext_t *context, int saved_errno)
{
    if (grace_context_result(context) != -EINTR)
        return;
    if (grace_safepoint_is_libc(grace_context_ip(context)) &&
        grace_safepoint_is_libc(grace_context_caller(context)) &&
        grace_context_repeat(context, may_be_repeated)) {
        repeated.ip = grace_context_ip(context);
        repeated.sp = grace_context_sp(context);
        return;
    }
    grace_resume_left.sp = grace_context_sp(context);
    grace_resume_left.saved_errno = saved_errno;
}

unsigned grace_resume_handlers(void)
{
    return handlers;
}

void grace_resume_revoke(ucontext_t *context)
{
    grace_resume_left.sp = 0;
    handlers++;
    if (repeated.ip != 0 && grace_context_ip(context) == repeated.ip &&
        grace_context_sp(context) == repeated.sp)
        grace_context_interrupt(context);
    repeated.ip = 0;
}

bool grace_resume(const void *frame)
{
    uintptr_t depth = (uintptr_t)frame - grace_resume_left.sp;
    if (grace_resume_left.sp == 0 || depth > CALL_DEPTH)
        return false;
    grace_resume_left.sp = 0;
    errno = grace_resume_left.saved_errno;
    return true;
}

/* ---- the time that is left ----------------------------------------------------------------- */

typedef int clock_function(clockid_t, struct timespec *);

/* libc's own: clock_gettime by its name may be somebody else's, who fakes the time. */
static clock_function *read_clock;

void grace_resume_setup(void)
{
    struct grace_function function;
    if (grace_libc_function("clock_gettime", &function))
        read_clock = (clock_function *)function.address;
}

struct grace_wait_start grace_wait_start(void)
{
    struct timespec now = {0, -1};
    if (read_clock != NULL)
        read_clock(CLOCK_MONOTONIC, &now);
    return (struct grace_wait_start){{(long)now.tv_sec, now.tv_nsec}};
}

struct grace_wait_time grace_wait_passed(const struct grace_wait_start *start)
{
    struct timespec now = {0, 0};
    if (start->at.nanoseconds < 0)
        return (struct grace_wait_time){0, 0};
    grace_kernel(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    struct grace_wait_time passed = {(long)now.tv_sec - start->at.seconds,
                                     now.tv_nsec - start->at.nanoseconds};
    if (passed.nanoseconds < 0) {
        passed.nanoseconds += 1000000000;
        passed.seconds--;
    }
    return passed;
}

int grace_wait_left_ms(const struct grace_wait_start *start, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    struct timespec left = grace_wait_left(start, &timeout);
    int64_t ms = (int64_t)left.tv_sec * 1000 + (left.tv_nsec + 999999) / 1000000;
    return ms < timeout_ms ? (int)ms : timeout_ms;
}
