/* The floor of "signal to hook": a handler of the program's own that starts a thread. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "stamp.h"

static volatile struct stamps *stamps;

static void *work(void *unused)
{
    stamps_add(stamps);
    _exit(0);
    return unused;
}

static void handle(int signo)
{
    pthread_t thread;
    (void)signo;
    pthread_create(&thread, NULL, work, NULL);
}

int main(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    stamps = stamps_map(getenv(STAMPS_VARIABLE));
    if (stamps == NULL || sigaction(SIGTERM, &action, NULL) != 0 ||
        write(STDOUT_FILENO, "r", 1) != 1)
        return 1;
    for (;;)
        poll(NULL, 0, -1);
}
