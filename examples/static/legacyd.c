/* Linked statically, and with a handler for TERM, as a Go program that asked for signal.Notify. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void ask(int signo)
{
    asked = signo;
}

int main(void)
{
    sigset_t term, before;
    struct sigaction action = {.sa_handler = ask};
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    puts("ready");
    fflush(stdout);
    while (!asked)
        sigsuspend(&before);
    FILE *story = fopen("story", "a");
    if (story == NULL)
        return 1;
    fputs("closed\n", story);
    return fclose(story);
}
