/* epoll's three ways to wait, as the target calls them. See resume.c. */
#include "../drain.h"
#include "../resume.h"
#include "../shim.h"

#include <sys/epoll.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int waiting(int, struct epoll_event *, int, int);
typedef int waiting_masked(int, struct epoll_event *, int, int, const sigset_t *);
typedef int waiting_exact(int, struct epoll_event *, int, const struct timespec *,
                          const sigset_t *);

EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int count,
                        const struct timespec *timeout, const sigset_t *mask)
{
    waiting_exact *real =
        GRACE_REAL(waiting_exact, GRACE_TIMED("epoll_pwait2", "__epoll_pwait2_time64"));
    struct timespec left;
    if (timeout == NULL)
        return GRACE_POLL(real(fd, events, count, timeout, mask));
    return GRACE_POLL_LIMITED(
        start, real(fd, events, count, timeout, mask),
        (left = grace_wait_left(&start, timeout), real(fd, events, count, &left, mask)));
}

#ifndef GRACE_TIME64

EXPORT int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    waiting *real = GRACE_REAL(waiting, "epoll_wait");
    if (timeout <= 0)
        return GRACE_POLL(real(fd, events, count, timeout));
    return GRACE_POLL_LIMITED(start, real(fd, events, count, timeout),
                              real(fd, events, count, grace_wait_left_ms(&start, timeout)));
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout,
                       const sigset_t *mask)
{
    waiting_masked *real = GRACE_REAL(waiting_masked, "epoll_pwait");
    if (timeout <= 0)
        return GRACE_POLL(real(fd, events, count, timeout, mask));
    return GRACE_POLL_LIMITED(start, real(fd, events, count, timeout, mask),
                              real(fd, events, count, grace_wait_left_ms(&start, timeout), mask));
}

#endif
