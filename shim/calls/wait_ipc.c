/* The header has a name for each size of offset, and both are here. */
#ifndef GRACE_TIME64
#undef _FILE_OFFSET_BITS
#endif

/* System V's message queues and semaphores, POSIX' semaphores and requests in the background, as
 * the target waits for them. See resume.c. */
#include "../resume.h"
#include "../shim.h"

#include <aio.h>
#include <semaphore.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef ssize_t receiving(int, void *, size_t, long, int);
typedef int sending(int, const void *, size_t, int);
typedef int operating(int, struct sembuf *, size_t);
typedef int operating_timed(int, struct sembuf *, size_t, const struct timespec *);
typedef int taking(sem_t *);
typedef int taking_timed(sem_t *, const struct timespec *);
typedef int awaiting(const struct aiocb *const[], int, const struct timespec *);
typedef int taking_by_clock(sem_t *, clockid_t, const struct timespec *);

EXPORT int semtimedop(int semaphores, struct sembuf *operations, size_t count,
                      const struct timespec *timeout)
{
    operating_timed *real =
        GRACE_REAL(operating_timed, GRACE_TIMED("semtimedop", "__semtimedop64"));
    struct timespec left;
    if (timeout == NULL)
        return GRACE_WAIT(real(semaphores, operations, count, timeout));
    return GRACE_WAIT_LIMITED(
        start, real(semaphores, operations, count, timeout),
        (left = grace_wait_left(&start, timeout), real(semaphores, operations, count, &left)));
}

/* These two wait until a point in time, not for a while. */
EXPORT int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    return GRACE_WAIT(GRACE_REAL(taking_timed, GRACE_TIMED("sem_timedwait", "__sem_timedwait64"))(
        semaphore, until));
}

EXPORT int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    return GRACE_WAIT(
        GRACE_REAL(taking_by_clock,
                   GRACE_TIMED("sem_clockwait", "__sem_clockwait64"))(semaphore, clock, until));
}

/* Its frame in libc grows with the list: with more than a hundred requests it is not told from
 * another one's any more, and the call comes back with EINTR. */
EXPORT int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout)
{
    awaiting *real = GRACE_REAL(awaiting, GRACE_TIMED("aio_suspend", "__aio_suspend_time64"));
    struct timespec left;
    if (timeout == NULL)
        return GRACE_WAIT(real(list, count, timeout));
    return GRACE_WAIT_LIMITED(start, real(list, count, timeout),
                              (left = grace_wait_left(&start, timeout), real(list, count, &left)));
}

#ifndef GRACE_TIME64

EXPORT ssize_t msgrcv(int queue, void *message, size_t size, long type, int flags)
{
    return GRACE_WAIT(GRACE_REAL(receiving, "msgrcv")(queue, message, size, type, flags));
}

EXPORT int msgsnd(int queue, const void *message, size_t size, int flags)
{
    return GRACE_WAIT(GRACE_REAL(sending, "msgsnd")(queue, message, size, flags));
}

EXPORT int semop(int semaphores, struct sembuf *operations, size_t count)
{
    return GRACE_WAIT(GRACE_REAL(operating, "semop")(semaphores, operations, count));
}

EXPORT int sem_wait(sem_t *semaphore)
{
    return GRACE_WAIT(GRACE_REAL(taking, "sem_wait")(semaphore));
}

/* The same with struct aiocb64, which is no different. */
EXPORT int aio_suspend64(const struct aiocb64 *const list[], int count,
                         const struct timespec *timeout)
{
    return aio_suspend((const struct aiocb *const *)list, count, timeout);
}

#endif
