/*
 * The system calls of the shim under names of their own, on top of hooks/kernel.h: straight to the
 * kernel, since libc's own wrapper may be interposed by the target, take a lock, or do more than
 * the call. All are async-signal-safe; none touches errno.
 */
#ifndef GRACE_SHIM_RAW_H
#define GRACE_SHIM_RAW_H

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "hooks/kernel.h"

static inline pid_t grace_gettid(void)
{
    return (pid_t)grace_kernel(SYS_gettid);
}

/* CLOCK_MONOTONIC as the kernel has it: another guest may fake the time that libc tells. */
static inline uint64_t grace_now_ms(void)
{
    return grace_kernel_now_ms();
}

static inline uint64_t grace_now_us(void)
{
    return grace_kernel_now_us();
}

/* Wait while *word is `seen`, `timeout_ms` at most (negative: for ever). May return early. */
static inline void grace_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    grace_kernel(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ms < 0 ? NULL : &timeout);
}

static inline void grace_futex_wake_all(_Atomic uint32_t *word)
{
    grace_kernel(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

/* The kernel's struct sigaction, which libc's differs from. */
struct grace_kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* Returns 0 or a negative errno. */
static inline long grace_rt_sigaction(int signo, const struct grace_kernel_sigaction *action,
                                      struct grace_kernel_sigaction *old)
{
    return grace_kernel(SYS_rt_sigaction, signo, action, old, sizeof(uint64_t));
}

/* how: SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK; libc's own two signals included, unlike sigprocmask. */
static inline void grace_sigprocmask(int how, uint64_t set, uint64_t *old)
{
    if (old != NULL)
        *old = 0;
    grace_kernel(SYS_rt_sigprocmask, how, &set, old, sizeof set);
}

/* But for the two that libc keeps for itself, 32 and 33: it sends one to every thread when any of
 * them changes the user, and waits until all have taken it. */
#define GRACE_ALL_SIGNALS (~(UINT64_C(3) << 31))

#endif
