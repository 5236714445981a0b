/*
 * Whether a child can be started whose end no SIGCHLD tells, as libgrace starts a hook's process in
 * a target without a guardian: says why not, or nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    long child = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(0);
    if (child < 0)
        puts(strerror(errno));
    else
        waitpid((pid_t)child, NULL, __WCLONE);
    return 0;
}
