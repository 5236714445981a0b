/*
 * chaos_target WORK HANDLER DELAY ENDING DELAY ENDING: works, and two threads of it each wait so
 * many microseconds and end it in the way that is named, whatever the other one does. Where nothing
 * ends it, it kills itself in the end.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LAST_RESORT_US 3000000

static volatile sig_atomic_t main_returns;

static void let_pass(long microseconds)
{
    struct timespec left = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

/* ---- endings --------------------------------------------------------------------------------- */

static void run_out_of_memory(void)
{
    const struct rlimit limit = {64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &limit);
    while (malloc(1 << 20) != NULL)
        continue;
    abort();
}

static void end(const char *how)
{
    static const struct {
        const char *name;
        int signo;
    } signals[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},   {"QUIT", SIGQUIT},
                   {"KILL", SIGKILL}, {"SEGV", SIGSEGV}, {"USR1", SIGUSR1}, {"BUS", SIGBUS}};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (strcmp(how, signals[i].name) == 0)
            kill(getpid(), signals[i].signo);
    if (strcmp(how, "exit") == 0)
        exit(42);
    if (strcmp(how, "_exit") == 0)
        _exit(43);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(44);
    if (strcmp(how, "exit_group") == 0)
        syscall(SYS_exit_group, 45);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "bad-pointer") == 0)
        *(volatile int *)16 = 1;
    if (strcmp(how, "memory") == 0)
        run_out_of_memory();
    main_returns = strcmp(how, "return") == 0;
}

struct later {
    long microseconds;
    const char *how;
};

static void *end_later(void *argument)
{
    const struct later *later = argument;
    let_pass(later->microseconds);
    end(later->how);
    return NULL;
}

static void start(struct later *later, const char *delay, const char *how)
{
    pthread_t thread;
    later->microseconds = atol(delay);
    later->how = how;
    if (pthread_create(&thread, NULL, end_later, later) != 0)
        abort();
}

/* ---- work ------------------------------------------------------------------------------------ */

static void work(const char *kind)
{
    static void *kept[64];
    static unsigned i;
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    if (strcmp(kind, "malloc") == 0) {
        free(kept[i % 64]);
        kept[i % 64] = malloc(3000 + i % 5000);
    } else if (strcmp(kind, "printf") == 0) {
        fprintf(nowhere, "%u words\n", i);
    } else {
        poll(NULL, 0, 1);
    }
    i++;
}

static void exit_7(int signo)
{
    (void)signo;
    exit(7);
}

static void _exit_8(int signo)
{
    (void)signo;
    _exit(8);
}

static void do_nothing(int signo)
{
    (void)signo;
}

int main(int argc, char **argv)
{
    static struct later first, second, last;
    if (argc != 7)
        return 64;
    if (strcmp(argv[2], "none") != 0)
        signal(SIGTERM, strcmp(argv[2], "exit") == 0    ? exit_7
                        : strcmp(argv[2], "_exit") == 0 ? _exit_8
                                                        : do_nothing);
    start(&first, argv[3], argv[4]);
    start(&second, argv[5], argv[6]);
    last.microseconds = LAST_RESORT_US;
    last.how = "KILL";
    pthread_t thread;
    pthread_create(&thread, NULL, end_later, &last);
    while (!main_returns)
        work(argv[1]);
    return 46;
}
