/*
 * fork, and what forks inside libc: daemon(), whose parent leaves in there with status 0, and
 * forkpty(). vfork is nobody's to wrap: its child would return from the wrapper's frame.
 */
#include <unistd.h>

#include "../shim.h"
#include "hooks/room.h"
#include "real.h"

#define EXPORT __attribute__((visibility("default")))

pid_t __fork(void);

typedef pid_t forking(void);
typedef int becoming_daemon(int, int);
struct termios;
struct winsize;
typedef int forking_on_terminal(int *, char *, const struct termios *, const struct winsize *);

static forking *real_fork(void)
{
    static _Atomic(forking *) found;
    forking *real = atomic_load_explicit(&found, memory_order_relaxed);
    if (real == NULL) {
        grace_exec_look_up();
        grace_exit_look_up();
        real = GRACE_REAL(forking, "fork");
        atomic_store_explicit(&found, real, memory_order_relaxed);
    }
    return real;
}

EXPORT GRACE_IN_CHILDREN pid_t fork(void)
{
    uint32_t order = grace_child_order();
    pid_t pid = real_fork()();
    if (pid == 0 && order != 0)
        grace_child_begins(order);
    if (pid > 0)
        grace_launch_here();
    return pid;
}

EXPORT pid_t __fork(void)
{
    return fork();
}

EXPORT int daemon(int nochdir, int noclose)
{
    grace_libc_forks(GRACE_DAEMON);
    int result = GRACE_REAL(becoming_daemon, "daemon")(nochdir, noclose);
    GRACE_KEEP_ERRNO;
    grace_libc_has_forked(result != 0);
    return result;
}

EXPORT int forkpty(int *master, char *name, const struct termios *settings,
                   const struct winsize *size);
int forkpty(int *master, char *name, const struct termios *settings, const struct winsize *size)
{
    grace_libc_forks(GRACE_FORKPTY);
    int result = GRACE_REAL(forking_on_terminal, "forkpty")(master, name, settings, size);
    grace_libc_has_forked(result < 0);
    return result;
}
