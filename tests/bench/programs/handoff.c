/* The floor of in-process hooks: handoff COUNT. At SIGTERM a handler starts a thread, which hands
 * COUNT pieces of work to another, one after the other. */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "stamp.h"

static volatile struct stamps *stamps;
static sem_t asked, done;
static long count;

static void *work(void *unused)
{
    for (;;) {
        sem_wait(&asked);
        stamps_add(stamps);
        sem_post(&done);
    }
    return unused;
}

static void *conduct(void *unused)
{
    pthread_t worker;
    pthread_create(&worker, NULL, work, NULL);
    for (long i = 0; i < count; i++) {
        sem_post(&asked);
        sem_wait(&done);
    }
    _exit(0);
    return unused;
}

static void handle(int signo)
{
    pthread_t conductor;
    (void)signo;
    pthread_create(&conductor, NULL, conduct, NULL);
}

int main(int argc, char **argv)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    stamps = stamps_map(getenv(STAMPS_VARIABLE));
    count = argc > 1 ? atol(argv[1]) : 1;
    if (stamps == NULL || sem_init(&asked, 0, 0) != 0 || sem_init(&done, 0, 0) != 0 ||
        sigaction(SIGTERM, &action, NULL) != 0 || write(STDOUT_FILENO, "r", 1) != 1)
        return 1;
    for (;;)
        poll(NULL, 0, -1);
}
