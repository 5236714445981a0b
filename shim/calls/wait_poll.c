/* poll and ppoll, as the target calls them. See resume.c. */
#include "../drain.h"
#include "../resume.h"
#include "../shim.h"

#include <poll.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int polling(struct pollfd *, nfds_t, int);
typedef int polling_checked(struct pollfd *, nfds_t, int, size_t);
typedef int polling_masked(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
typedef int polling_masked_checked(struct pollfd *, nfds_t, const struct timespec *,
                                   const sigset_t *, size_t);

int __poll(struct pollfd *list, nfds_t count, int timeout);
int __poll_chk(struct pollfd *list, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *list, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask, size_t size);

EXPORT int ppoll(struct pollfd *list, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask)
{
    polling_masked *real = GRACE_REAL(polling_masked, GRACE_TIMED("ppoll", "__ppoll64"));
    struct timespec left;
    if (timeout == NULL)
        return GRACE_POLL(real(list, count, timeout, mask));
    return GRACE_POLL_LIMITED(
        start, real(list, count, timeout, mask),
        (left = grace_wait_left(&start, timeout), real(list, count, &left, mask)));
}

#ifndef GRACE_TIME64

EXPORT int poll(struct pollfd *list, nfds_t count, int timeout)
{
    polling *real = GRACE_REAL(polling, "poll");
    if (timeout <= 0)
        return GRACE_POLL(real(list, count, timeout));
    return GRACE_POLL_LIMITED(start, real(list, count, timeout),
                              real(list, count, grace_wait_left_ms(&start, timeout)));
}

EXPORT int __poll(struct pollfd *list, nfds_t count, int timeout)
{
    return poll(list, count, timeout);
}

/* The list is checked against its size by the first call; it is no longer afterwards. */
EXPORT int __poll_chk(struct pollfd *list, nfds_t count, int timeout, size_t size)
{
    polling_checked *real = GRACE_REAL(polling_checked, "__poll_chk");
    if (timeout <= 0)
        return GRACE_POLL(real(list, count, timeout, size));
    return GRACE_POLL_LIMITED(start, real(list, count, timeout, size),
                              real(list, count, grace_wait_left_ms(&start, timeout), size));
}

EXPORT int __ppoll_chk(struct pollfd *list, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask, size_t size)
{
    polling_masked_checked *real = GRACE_REAL(polling_masked_checked, "__ppoll_chk");
    struct timespec left;
    if (timeout == NULL)
        return GRACE_POLL(real(list, count, timeout, mask, size));
    return GRACE_POLL_LIMITED(
        start, real(list, count, timeout, mask, size),
        (left = grace_wait_left(&start, timeout), real(list, count, &left, mask, size)));
}

#endif
