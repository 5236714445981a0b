/*
 * Changes its user at its end, as daemons do to remove what they made as root: libc then has every
 * thread of the process do so. At exit ("exit"), in a handler of TERM's ("handler"), or on a thread
 * over and over ("thread") until TERM ends it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void change_user(void)
{
    if (setresuid(geteuid(), geteuid(), (uid_t)-1) != 0)
        _exit(9);
}

static void on_stop(int signo)
{
    (void)signo;
    change_user();
    _exit(5);
}

static void *change_for_ever(void *unused)
{
    for (;;)
        change_user();
    return unused;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    if (strcmp(how, "exit") == 0) {
        atexit(change_user);
        return 4;
    }
    if (strcmp(how, "handler") == 0)
        signal(SIGTERM, on_stop);
    else
        pthread_create(&thread, NULL, change_for_ever, NULL);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
