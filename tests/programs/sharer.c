/*
 * Whether a process can be started that shares memory, as libgrace starts the guardian and the
 * commands of hooks: says why not, or nothing.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int written;

static int write_it(void *unused)
{
    (void)unused;
    written = 1;
    return 0;
}

int main(void)
{
    pid_t child = clone(write_it, stack + sizeof stack, CLONE_VM | CLONE_VFORK, NULL);
    if (child < 0)
        puts(strerror(errno));
    else if (waitpid(child, NULL, __WCLONE) != child || !written)
        puts("its memory is another");
    return 0;
}
