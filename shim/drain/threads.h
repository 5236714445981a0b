/* What the target's threads wait for in the kernel. See threads.c. Conductor only. */
#ifndef GRACE_SHIM_DRAIN_THREADS_H
#define GRACE_SHIM_DRAIN_THREADS_H

#include <stdbool.h>

/* Whether a thread sits in a read of this descriptor. Looked up once, until forgotten. */
bool grace_threads_read_from(int fd);
void grace_threads_forget(void);

/* Interrupt the threads that are or may be in accept of this descriptor with a signal that libgrace
 * handles: the call is made anew, on what the descriptor is by now. First of all, begin. */
void grace_threads_begin(void);
void grace_threads_wake_accept(int fd, int signo);

/* Whether all of them have been interrupted: what they accepted before is in sight. */
bool grace_threads_are_woken(void);

#endif
