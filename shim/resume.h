/* Waiting on after a signal that the target does not get to see. What it is for: resume.c. */
#ifndef GRACE_SHIM_RESUME_H
#define GRACE_SHIM_RESUME_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <ucontext.h>

/* Find libc's own clock. Constructor only. */
void grace_resume_setup(void);

/*
 * For a handler of ours that returns to `context` without the target having seen the signal: a call
 * that was interrupted there is to go on. `saved_errno` is errno as the handler found it.
 * Async-signal-safe.
 */
void grace_resume_mark(ucontext_t *context, int saved_errno);

/* How many handlers of the target's have run on the calling thread. Async-signal-safe. */
unsigned grace_resume_handlers(void);

/* The target's handler is about to run: a call that was to be made again for the signal that was
 * kept back, and has not begun yet, fails with EINTR after all. It would wait for a signal that has
 * been. Async-signal-safe. */
void grace_resume_revoke(ucontext_t *context);

/*
 * Whether the call just made below `frame` (the caller's frame address), which failed with EINTR,
 * is to go on. If so takes the mark away and gives errno its old value. Async-signal-safe.
 */
bool grace_resume(const void *frame);

/*
 * Where an interrupted call stood that is to go on (0: none), and errno as it was before it. A call
 * takes away what another one left that a handler of the target's has jumped out of: its own mark
 * is made while it runs. Initial-exec: in a handler nothing may be allocated.
 */
extern __thread struct grace_resume_left {
    uintptr_t sp;
    int saved_errno;
} grace_resume_left __attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void grace_wait_begin(void)
{
    grace_resume_left.sp = 0;
}

/* When a wait with a time limit began, and how much time has passed since, or how much of the limit
 * is left. Never less than there is; async-signal-safe; keep errno. */
struct grace_wait_time {
    long seconds, nanoseconds;
};
struct grace_wait_start {
    struct grace_wait_time at; /* nanoseconds < 0: not known, the limit starts anew */
};
struct grace_wait_start grace_wait_start(void);
struct grace_wait_time grace_wait_passed(const struct grace_wait_start *start);

/* In here, since on 32 bit the caller's time_t may be either (GRACE_TIMED). */
static inline struct timespec grace_wait_left(const struct grace_wait_start *start,
                                              const struct timespec *timeout)
{
    struct grace_wait_time passed = grace_wait_passed(start);
    struct timespec left = {.tv_sec = timeout->tv_sec - passed.seconds,
                            .tv_nsec = timeout->tv_nsec - passed.nanoseconds};
    if (left.tv_nsec < 0) {
        left.tv_nsec += 1000000000;
        left.tv_sec--;
    }
    if (left.tv_sec < 0)
        left = (struct timespec){.tv_sec = 0};
    return left;
}

int grace_wait_left_ms(const struct grace_wait_start *start, int timeout_ms);

/*
 * The name of a call that takes a time, and the name that its header gives it on 32 bit for
 * programs with a time_t of 64 (-D_TIME_BITS=64). A file with such calls is compiled once for each
 * there; the second time with GRACE_TIME64, and without the calls that take none.
 */
#ifdef GRACE_TIME64
#define GRACE_TIMED(name, name64) name64
#else
#define GRACE_TIMED(name, name64) name
#endif

/* Whether a result says that the call is to be made again. */
#define GRACE_INTERRUPTED(result)                                                                  \
    (__builtin_expect((result) == -1, 0) && errno == EINTR &&                                      \
     grace_resume(__builtin_frame_address(0)))

/* A call without a time limit, or with one that does not change by waiting. */
#define GRACE_WAIT(call)                                                                           \
    __extension__({                                                                                \
        __typeof__(call) result_;                                                                  \
        grace_wait_begin();                                                                        \
        do {                                                                                       \
            result_ = (call);                                                                      \
        } while (GRACE_INTERRUPTED(result_));                                                      \
        result_;                                                                                   \
    })

/* A call with a relative limit: `first`, and each time it has to go on, `again`, which may use
 * `start`. */
#define GRACE_WAIT_LIMITED(start, first, again)                                                    \
    __extension__({                                                                                \
        struct grace_wait_start start = grace_wait_start();                                        \
        grace_wait_begin();                                                                        \
        __typeof__(first) result_ = (first);                                                       \
        while (GRACE_INTERRUPTED(result_))                                                         \
            result_ = (again);                                                                     \
        result_;                                                                                   \
    })

#endif
