/*
 * A program with one thread that is in malloc or free most of the time, and whose handler for TERM
 * and QUIT allocates, too, before it ends the program with status 7. That is wrong, and works by
 * luck: libc takes no lock of malloc's for a single thread.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static char *volatile pieces[1000];
static char *volatile own;

static void last(int signo)
{
    (void)signo;
    own = malloc(5000);
    own[0] = 1;
    free(own);
    exit(7);
}

int main(void)
{
    signal(SIGTERM, last);
    signal(SIGQUIT, last);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int which = rand() % 1000;
        free(pieces[which]);
        pieces[which] = malloc(1500 + (size_t)(rand() % 90000));
        pieces[which][0] = 1;
        for (int i = 0; i < 1000; i++)
            pieces[which][i]++;
    }
}
