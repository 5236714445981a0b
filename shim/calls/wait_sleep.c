/* The sleeps and pause, as the target calls them. See resume.c. */
#include "../resume.h"
#include "../shim.h"

#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int napping(const struct timespec *, struct timespec *);
typedef int napping_by_clock(clockid_t, int, const struct timespec *, struct timespec *);
typedef unsigned sleeping(unsigned);
typedef int sleeping_us(useconds_t);
typedef int pausing(void);

int __nanosleep(const struct timespec *time, struct timespec *rest);

/* The kernel says what is left; where the target does not ask, we do. */
EXPORT int nanosleep(const struct timespec *time, struct timespec *rest)
{
    napping *real = GRACE_REAL(napping, GRACE_TIMED("nanosleep", "__nanosleep64"));
    struct timespec own, *left = rest == NULL ? &own : rest;
    grace_wait_begin();
    int result = real(time, left);
    while (GRACE_INTERRUPTED(result))
        result = real(left, left);
    return result;
}

EXPORT int thrd_sleep(const struct timespec *time, struct timespec *rest)
{
    napping *real = GRACE_REAL(napping, GRACE_TIMED("thrd_sleep", "__thrd_sleep64"));
    struct timespec own, *left = rest == NULL ? &own : rest;
    grace_wait_begin();
    int result = real(time, left);
    while (result == -1 && grace_resume(__builtin_frame_address(0)))
        result = real(left, left);
    return result;
}

/* An error is the result here, not errno. The limit of TIMER_ABSTIME does not change by waiting. */
EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                           struct timespec *rest)
{
    napping_by_clock *real =
        GRACE_REAL(napping_by_clock, GRACE_TIMED("clock_nanosleep", "__clock_nanosleep_time64"));
    struct timespec own, *left = rest == NULL ? &own : rest;
    grace_wait_begin();
    int result = real(clock, flags, time, left);
    while (result == EINTR && grace_resume(__builtin_frame_address(0)))
        result = real(clock, flags, flags & TIMER_ABSTIME ? time : left, left);
    return result;
}

#ifndef GRACE_TIME64

EXPORT int __nanosleep(const struct timespec *time, struct timespec *rest)
{
    return nanosleep(time, rest);
}

/* Sleep on for what is left; returns 0, or -1 when a handler of the target's cut it short. */
static int sleep_on(const struct grace_wait_start *start, const struct timespec *time,
                    struct timespec *left)
{
    *left = grace_wait_left(start, time);
    return nanosleep(left, left);
}

/* Its result cannot tell: in the last second it is 0 after a signal, too. */
EXPORT unsigned sleep(unsigned seconds)
{
    struct grace_wait_start start = grace_wait_start();
    grace_wait_begin();
    unsigned result = GRACE_REAL(sleeping, "sleep")(seconds);
    if (!grace_resume(__builtin_frame_address(0)))
        return result;
    struct timespec time = {.tv_sec = (time_t)seconds}, left;
    return sleep_on(&start, &time, &left) == 0 ? 0 : (unsigned)left.tv_sec;
}

EXPORT int usleep(useconds_t time_us)
{
    struct grace_wait_start start = grace_wait_start();
    grace_wait_begin();
    int result = GRACE_REAL(sleeping_us, "usleep")(time_us);
    if (!GRACE_INTERRUPTED(result))
        return result;
    struct timespec time = {(time_t)(time_us / 1000000), (long)(time_us % 1000000) * 1000}, left;
    return sleep_on(&start, &time, &left);
}

EXPORT int pause(void)
{
    return GRACE_WAIT(GRACE_REAL(pausing, "pause")());
}

#endif
