/*
 * Does the work that its first argument names until a signal ends it, and says "ready" once it is
 * at it. It leaves a line in stdio's buffer, as programs do, and may set up more things by further
 * arguments: atexit, ignore-term, take-descriptors, many-threads.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static void say(const char *words)
{
    if (write(1, words, strlen(words)) < 0)
        _exit(99);
}

/* ---- busy ------------------------------------------------------------------------------------ */

static void spin(void)
{
    for (volatile unsigned long i = 0;; i++)
        ;
}

static void allocate(void)
{
    static char *kept[64];
    for (unsigned i = 0;; i++) {
        free(kept[i % 64]);
        kept[i % 64] = malloc(3000 + i % 5000);
        for (int at = 0; at < 50; at++) /* who allocates uses it */
            kept[i % 64][at] = (char)at;
    }
}

static void print(void)
{
    FILE *nowhere = fopen("/dev/null", "w");
    for (unsigned i = 0;; i++)
        fprintf(nowhere, "%u %s\n", i, "words");
}

static void call_system(void)
{
    int nowhere = open("/dev/null", O_WRONLY);
    for (;;) {
        if (write(nowhere, "x", 1) != 1)
            _exit(99);
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int silent_pipe(void)
{
    static int ends[2];
    if (pipe(ends) != 0)
        _exit(99);
    return ends[0];
}

static void wait_in_poll(void)
{
    struct pollfd waited = {.fd = silent_pipe(), .events = POLLIN};
    poll(&waited, 1, -1);
}

static void wait_in_select(void)
{
    fd_set waited;
    int end = silent_pipe();
    FD_ZERO(&waited);
    FD_SET(end, &waited);
    select(end + 1, &waited, NULL, NULL, NULL);
}

static void wait_in_read(void)
{
    char byte;
    if (read(silent_pipe(), &byte, 1) > 0)
        _exit(99);
}

static void wait_in_pause(void)
{
    pause();
}

static void wait_in_sleep(void)
{
    sleep(100000);
}

static void wait_in_condition(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&condition, &mutex);
}

/* stdout's own lock is held for ever: who flushes it without care waits for ever. */
static void hold_stdout(void)
{
    flockfile(stdout);
    for (;;)
        pause();
}

static void *hold_stdout_in_thread(void *unused)
{
    flockfile(stdout);
    for (;;)
        pause();
    return unused;
}

static void wait_beside_holder(void)
{
    pthread_t holder;
    pthread_create(&holder, NULL, hold_stdout_in_thread, NULL);
    for (;;)
        pause();
}

static const struct work {
    const char *name;
    void (*work)(void);
} works[] = {
    {"spin", spin},
    {"malloc", allocate},
    {"printf", print},
    {"write", call_system},
    {"poll", wait_in_poll},
    {"select", wait_in_select},
    {"read", wait_in_read},
    {"pause", wait_in_pause},
    {"sleep", wait_in_sleep},
    {"condition", wait_in_condition},
    {"hold-stdout", hold_stdout},
    {"hold-stdout-in-thread", wait_beside_holder},
};

static void *wait_for_ever(void *unused)
{
    for (;;)
        wait_in_poll();
    return unused;
}

static void say_atexit(void)
{
    say("atexit\n");
}

/* As old daemons do: close everything, and the first file that is opened becomes descriptor 0. */
static void take_all_descriptors(void)
{
    for (int descriptor = 0; descriptor < 1024; descriptor++)
        close(descriptor);
    for (int i = 0; i < 3; i++) {
        if (open("database", O_RDWR | O_CREAT | O_APPEND, 0666) != i)
            _exit(99);
    }
}

static void set_up(const char *what)
{
    if (strcmp(what, "atexit") == 0) {
        atexit(say_atexit);
    } else if (strcmp(what, "ignore-term") == 0) {
        signal(SIGTERM, SIG_IGN);
    } else if (strcmp(what, "take-descriptors") == 0) {
        take_all_descriptors();
    } else if (strcmp(what, "many-threads") == 0) {
        for (int i = 0; i < 63; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, wait_for_ever, NULL);
        }
    } else {
        _exit(64);
    }
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        set_up(argv[i]);
    for (size_t i = 0; argc > 1 && i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, argv[1]) != 0)
            continue;
        printf("buffered\n");
        say("ready\n");
        for (;;)
            works[i].work();
    }
    return 64;
}
