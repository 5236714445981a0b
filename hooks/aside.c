/*
 * A command run from within the target, which must not notice.
 *
 * A child of the target's own would raise SIGCHLD and be found by its wait(); a pipe would be a
 * descriptor in its table. So an intermediate process is cloned that shares the target's memory,
 * and with it the command, its environment and the result, but neither its descriptors nor its
 * signal actions. Its exit signal is 0: the kernel tells nobody of its end, and wait() does not see
 * it unless asked for such children by __WCLONE or __WALL. It starts the command as its own child
 * and waits for it in the ordinary way.
 *
 * In it: every signal stays blocked, so no handler of the target ever runs there. SIGCHLD is set to
 * default in its own table, or a target that ignores SIGCHLD would cost us the command's exit
 * status. Descriptors are closed at once but for stderr, which the log may need: a connection that
 * the target closes meanwhile must not live on in us. It has the calling thread's errno, since
 * thread-local memory is shared too, and leaves it alone: everything it calls goes straight to the
 * kernel.
 *
 * Where such a clone is refused (or not known, as by valgrind) it is a forked child whose end
 * nobody is told of either, and what we share is its stack only. Where that is refused, too, as by
 * qemu-user, it is a child like any other: SIGCHLD and the target's wait() tell of it.
 *
 * The caller waits on a futex that the kernel clears when the intermediate process is gone, however
 * it went, and kills it when it stays beyond the time that it was given (something stopped it).
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "command.h"
#include "kernel.h"
#include "spawn.h"

/* One page below it is left without access, so that an overflow faults rather than writes. */
#define GUARD_SIZE (64l * 1024) /* one page at least, whatever its size */
#define STACK_SIZE (128l * 1024)

/* Beyond the command's timeout before the intermediate process itself is killed, and waited for
 * after that. */
#define SLACK_MS UINT64_C(250)
#define GONE_MS  UINT64_C(100)

/* Lies at the top of the stack's mapping. */
struct aside {
    const struct grace_command *command;
    char *const *envp;
    uint32_t timeout_ms;
    int program_pid;
    bool forked;             /* it shares its stack with us, and nothing else */
    int32_t alive;           /* futex: the kernel clears it at its end */
    _Atomic int32_t running; /* pid of the command, while it runs */
    atomic_bool done;        /* release after the result was written, acquire before it is read */
    struct grace_command_result result;
};

#define MAPPING_SIZE (GUARD_SIZE + STACK_SIZE)
#define ASIDE_AT     (MAPPING_SIZE - (long)((sizeof(struct aside) + 63) & ~63ul))

static void release(struct aside *aside)
{
    grace_kernel(SYS_munmap, (char *)aside - ASIDE_AT, MAPPING_SIZE);
}

static GRACE_PLAIN void conduct(void *argument)
{
    struct aside *aside = argument;
    static const uint64_t by_default[4]; /* the kernel's struct, all zero: default action */
    grace_kernel(SYS_rt_sigaction, SIGCHLD, by_default, NULL, 8);
    grace_kernel_close_range(0, 1);
    grace_kernel_close_range(3, ~0u);
    grace_kernel(SYS_prctl, PR_SET_NAME, "grace-aside", 0, 0, 0);
    grace_command_run_for(aside->command, aside->envp, aside->timeout_ms, aside->program_pid,
                          &aside->running, &aside->result);
    atomic_store_explicit(&aside->done, true, memory_order_release);
    grace_kernel_exit(0);
}

/* Of a forked one the kernel does not clear the futex. */
#define LOOK_US 10000
static bool is_gone(const struct aside *aside, long pid)
{
    if (!aside->forked)
        return __atomic_load_n(&aside->alive, __ATOMIC_ACQUIRE) == 0;
    /* 0: not yet; an error: the target's own wait was there first, or it ignores SIGCHLD. */
    return grace_kernel(SYS_wait4, pid, NULL, WNOHANG | __WALL, NULL) != 0;
}

/* Wait until the intermediate process is gone, `deadline_us` at most. */
static bool wait_until_gone(struct aside *aside, long pid, uint64_t deadline_us)
{
    for (;;) {
        int32_t alive = __atomic_load_n(&aside->alive, __ATOMIC_ACQUIRE);
        if (is_gone(aside, pid))
            return true;
        uint64_t now = grace_kernel_now_us();
        if (now >= deadline_us)
            return false;
        uint64_t left = deadline_us - now;
        if (aside->forked && left > LOOK_US)
            left = LOOK_US;
        struct timespec time = {(time_t)(left / 1000000), (long)(left % 1000000) * 1000};
        /* Not a private futex: the kernel wakes it as a shared one. */
        grace_kernel(SYS_futex, &aside->alive, FUTEX_WAIT, alive, &time, NULL, 0);
    }
}

static bool wait_or_kill(struct aside *aside, long pid, uint64_t deadline_us)
{
    if (wait_until_gone(aside, pid, deadline_us))
        return true;
    int32_t command = atomic_load_explicit(&aside->running, memory_order_acquire);
    if (command > 0)
        grace_kernel(SYS_kill, -command, SIGKILL);
    grace_kernel(SYS_kill, pid, SIGKILL);
    return wait_until_gone(aside, pid, grace_kernel_now_us() + GONE_MS * 1000);
}

/* How it may be started, the best first: the flags of its clone. */
static const unsigned long ways[] = {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    CLONE_VFORK | /* their runtimes keep state per thread: the caller must not run meanwhile */
#endif
        CLONE_VM | CLONE_CHILD_CLEARTID,
    0,
    SIGCHLD,
};
enum { FORKED = 1, WAYS = sizeof ways / sizeof *ways };

/* With a stack of its own, at whose top *aside is then. Returns its pid or a negative errno. */
static long start(const struct aside *what, size_t way, struct aside **aside)
{
    int sharing = way < FORKED ? MAP_PRIVATE : MAP_SHARED;
    long memory = grace_kernel(GRACE_SYS_mmap, NULL, MAPPING_SIZE, PROT_READ | PROT_WRITE,
                               sharing | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (grace_kernel_failed(memory))
        return memory;
    grace_kernel(SYS_mprotect, memory, GUARD_SIZE, PROT_NONE);
    *aside = (struct aside *)(void *)((char *)memory + ASIDE_AT);
    **aside = *what;
    (*aside)->forked = way >= FORKED;
    uint64_t mask;
    grace_kernel_block_signals(&mask);
    long pid = grace_kernel_clone(ways[way], *aside, &(*aside)->alive, conduct, *aside);
    grace_kernel_set_mask(mask);
    if (pid < 0)
        release(*aside);
    return pid;
}

static void take_result(const struct aside *aside, bool gone, struct grace_command_result *result)
{
    if (atomic_load_explicit(&aside->done, memory_order_acquire)) {
        *result = aside->result;
    } else if (gone) {
        result->outcome = GRACE_OUTCOME_SIGNAL;
        result->detail = SIGKILL; /* all else is blocked in it */
    } else {
        result->outcome = GRACE_OUTCOME_TIMEOUT;
    }
}

void grace_command_run_aside(const struct grace_command *command, char *const *envp,
                             uint32_t timeout_ms, struct grace_command_result *result)
{
    uint64_t begin = grace_kernel_now_us();
    const struct aside what = {.command = command,
                               .envp = envp,
                               .timeout_ms = timeout_ms,
                               .program_pid = grace_getpid(),
                               .alive = 1};
    struct aside *aside;
    size_t way = grace_kernel_is_valgrind() ? FORKED : 0;
    long pid;
    *result = (struct grace_command_result){.outcome = GRACE_OUTCOME_NOT_STARTED};
    do
        pid = start(&what, way, &aside);
    while (pid < 0 && ++way < WAYS);

    if (pid < 0) {
        result->detail = (int)-pid;
    } else {
        bool gone = wait_or_kill(aside, pid, begin + (timeout_ms + SLACK_MS) * 1000);
        take_result(aside, gone, result);
        while (gone && !aside->forked && grace_kernel(SYS_wait4, pid, NULL, __WALL, NULL) == -EINTR)
            continue;
        if (gone) /* one that is still there needs its stack */
            release(aside);
    }
    result->duration_us = grace_kernel_now_us() - begin;
}
