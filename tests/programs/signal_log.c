/*
 * Tells every signal that it gets, and the value that came with it; SIGUSR2 ends it. With "group"
 * a child in the same process group does so, too.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *name = "target";

static void tell(const siginfo_t *info)
{
    dprintf(1, "%s %d %d\n", name, info->si_signo,
            info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

int main(int argc, char **argv)
{
    sigset_t all;
    siginfo_t info;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (argc > 1 && strcmp(argv[1], "group") == 0 && fork() == 0)
        name = "child";
    dprintf(1, "%s ready\n", name);
    for (;;) {
        if (sigwaitinfo(&all, &info) < 0 || info.si_signo == SIGCHLD)
            continue;
        tell(&info);
        if (info.si_signo == SIGUSR2)
            exit(0);
    }
}
