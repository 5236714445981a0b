/* How a process that is not our child ended. */
#ifndef GRACE_OPS_ENDED_H
#define GRACE_OPS_ENDED_H

#include <stdbool.h>

/*
 * The wait status (as of waitpid) of the process behind a pidfd, once it is dead. Asks the kernel
 * by PIDFD_GET_INFO, which knows after the process was reaped (Linux 6.15), and before that
 * /proc/PID/stat, field 52, while it is a zombie; waits `patience_ms` at most for one of the two.
 * False: neither could tell (an older kernel, and a parent that reaped it first).
 */
bool grace_ended_status(int pidfd, int pid, int patience_ms, int *status);

#endif
