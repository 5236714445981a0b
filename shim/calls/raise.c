/* A signal that the target sends to one of its own threads: only a descriptor of that very thread's
 * reads it. See descriptors.c. */
#include "../shim.h"

#include <pthread.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int raising(int);
typedef int sending(pthread_t, int);
typedef int sending_by_number(pid_t, pid_t, int);
typedef int queueing(pthread_t, int, const union sigval);

EXPORT int raise(int signo)
{
    grace_signalfd_before_raise(signo);
    return GRACE_REAL(raising, "raise")(signo);
}

EXPORT int gsignal(int signo)
{
    return raise(signo);
}

EXPORT int pthread_kill(pthread_t thread, int signo)
{
    grace_signalfd_before_raise(signo);
    return GRACE_REAL(sending, "pthread_kill")(thread, signo);
}

EXPORT int pthread_sigqueue(pthread_t thread, int signo, const union sigval value)
{
    grace_signalfd_before_raise(signo);
    return GRACE_REAL(queueing, "pthread_sigqueue")(thread, signo, value);
}

EXPORT int tgkill(pid_t process, pid_t thread, int signo)
{
    grace_signalfd_before_raise(signo);
    return GRACE_REAL(sending_by_number, "tgkill")(process, thread, signo);
}
