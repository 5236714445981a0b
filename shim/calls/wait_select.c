/* select and pselect, as the target calls them. See resume.c. */
#include "../drain.h"
#include "../resume.h"
#include "../shim.h"

#include <sys/select.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int selecting(int, fd_set *, fd_set *, fd_set *, struct timeval *);
typedef int selecting_masked(int, fd_set *, fd_set *, fd_set *, const struct timespec *,
                             const sigset_t *);

int __select(int count, fd_set *readable, fd_set *writable, fd_set *special,
             struct timeval *timeout);

/* Linux' select counts its limit down in place, and leaves the sets alone when it fails. */
EXPORT int select(int count, fd_set *readable, fd_set *writable, fd_set *special,
                  struct timeval *timeout)
{
    return GRACE_POLL(GRACE_REAL(selecting, GRACE_TIMED("select", "__select64"))(
        count, readable, writable, special, timeout));
}

EXPORT int pselect(int count, fd_set *readable, fd_set *writable, fd_set *special,
                   const struct timespec *timeout, const sigset_t *mask)
{
    selecting_masked *real = GRACE_REAL(selecting_masked, GRACE_TIMED("pselect", "__pselect64"));
    struct timespec left;
    if (timeout == NULL)
        return GRACE_POLL(real(count, readable, writable, special, timeout, mask));
    return GRACE_POLL_LIMITED(start, real(count, readable, writable, special, timeout, mask),
                              (left = grace_wait_left(&start, timeout),
                               real(count, readable, writable, special, &left, mask)));
}

#ifndef GRACE_TIME64

EXPORT int __select(int count, fd_set *readable, fd_set *writable, fd_set *special,
                    struct timeval *timeout)
{
    return select(count, readable, writable, special, timeout);
}

#endif
