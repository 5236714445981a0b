/*
 * A program that is stopped in the middle of its work: target WORK [OWN].
 *
 * WORK: poll, cpu, malloc, printf, threads (64 of them wait in poll).
 * OWN, the floors of "kill to hook": it takes SIGTERM itself and does one piece of work on another
 * thread: "handler" starts that thread from a signal handler, "sigwait" has it wait from the start
 * on, which is what a careful program does that may be interrupted in malloc.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "stamp.h"

static volatile struct stamps *stamps;
static FILE *null;

static void wait_in_poll(void)
{
    poll(NULL, 0, -1);
}

static void compute(void)
{
    static volatile unsigned long value;
    for (int i = 0; i < 1000000; i++)
        value = value * 31 + 7;
}

static void use_malloc(void)
{
    static unsigned size;
    char *volatile block = malloc(3000 + size++ % 5000);
    free(block);
}

static void use_printf(void)
{
    static unsigned number;
    fprintf(null, "%u lines and %s\n", number++, "counting");
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        poll(NULL, 0, -1);
    return unused;
}

static void start_threads(void)
{
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int i = 0; i < 64; i++)
        if (pthread_create(&thread, &small, wait_for_ever, NULL) != 0)
            _exit(1);
}

static void *take(void *unused)
{
    stamps_add(stamps);
    _exit(0);
    return unused;
}

static void handle(int signo)
{
    pthread_t thread;
    (void)signo;
    pthread_create(&thread, NULL, take, NULL);
}

static void *wait_for_signal(void *set)
{
    int signo;
    sigwait(set, &signo);
    return take(NULL);
}

static void take_signal(const char *how)
{
    static sigset_t set;
    pthread_t thread;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    stamps = stamps_map(getenv(STAMPS_VARIABLE));
    if (stamps == NULL)
        _exit(1);
    if (strcmp(how, "handler") == 0)
        sigaction(SIGTERM, &action, NULL);
    else if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
             pthread_create(&thread, NULL, wait_for_signal, &set) != 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*work)(void);
    } works[] = {{"poll", wait_in_poll},
                 {"cpu", compute},
                 {"malloc", use_malloc},
                 {"printf", use_printf},
                 {"threads", wait_in_poll}};
    if (argc < 2)
        return 64;
    null = fopen("/dev/null", "w");
    if (null == NULL)
        return 1;
    if (strcmp(argv[1], "threads") == 0)
        start_threads();
    if (argc > 2)
        take_signal(argv[2]);
    if (write(STDOUT_FILENO, "r", 1) != 1)
        return 1;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        while (strcmp(works[i].name, argv[1]) == 0)
            works[i].work();
    return 64;
}
