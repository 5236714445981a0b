/*
 * System calls as the kernel knows them, for places where libc's own wrapper may be interposed by
 * the target, takes a lock, or does more than the call. All are async-signal-safe; all may change
 * errno, which every door of libgrace keeps (see struct grace_errno in shim.h).
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

static inline pid_t grace_getpid(void)
{
    return (pid_t)syscall(SYS_getpid);
}

static inline pid_t grace_gettid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* Milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t grace_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline uint64_t grace_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Wait while *word is `seen`, `timeout_ms` at most (negative: for ever). May return early. */
static inline void grace_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

static inline void grace_futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* The kernel's struct sigaction, which libc's differs from. */
struct grace_kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static inline long grace_rt_sigaction(int signo, const struct grace_kernel_sigaction *action,
                                      struct grace_kernel_sigaction *old)
{
    return syscall(SYS_rt_sigaction, signo, action, old, sizeof(uint64_t));
}

/* how: SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK; libc's own two signals included, unlike sigprocmask. */
static inline void grace_sigprocmask(int how, uint64_t set, uint64_t *old)
{
    syscall(SYS_rt_sigprocmask, how, &set, old, sizeof set);
}

#define GRACE_ALL_SIGNALS (~UINT64_C(0))

#endif
