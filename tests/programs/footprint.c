/*
 * A target that goes through ordinary life between two marks, so that what it cost can be compared
 * with and without libgrace, and then writes down what /proc, its environment, errno and the
 * floating-point unit tell it.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t count;

static void on_signal(int signo)
{
    (void)signo;
    count++;
}

/* The rounding mode, which exceptions have happened, and which are masked. */
#if defined(__x86_64__)
static unsigned float_state(void)
{
    return __builtin_ia32_stmxcsr();
}

static void set_float_state(void)
{
    __builtin_ia32_ldmxcsr(0x7fa0); /* towards zero; inexact has happened */
}
#else
static unsigned float_state(void)
{
    return 0;
}

static void set_float_state(void)
{
}
#endif

static void mark(const char *name)
{
    if (write(-1, name, strlen(name)) != -1) /* seen by a tracer, goes nowhere */
        exit(98);
}

static void *idle(void *unused)
{
    return unused;
}

static void live(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGCHLD};
    struct timespec moment = {0, 1000000};
    struct timeval short_time = {0, 1000};
    struct epoll_event event;
    struct sigaction action = {.sa_handler = on_signal};
    int pair[2], epoll = epoll_create1(0);
    char byte;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
        signal(signals[i], SIG_IGN);
        signal(signals[i], on_signal);
        if (signals[i] != SIGTERM && signals[i] != SIGQUIT) /* these begin a stop */
            raise(signals[i]);
        signal(signals[i], SIG_DFL);
    }
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    send(pair[0], "x", 1, 0);
    recv(pair[1], &byte, 1, 0);
    poll(NULL, 0, 1);
    select(0, NULL, NULL, NULL, &short_time);
    epoll_wait(epoll, &event, 1, 1);
    nanosleep(&moment, NULL);
    usleep(1000);
    close(epoll);
    close(pair[0]);
    close(pair[1]);

    pthread_t thread;
    pthread_create(&thread, NULL, idle, NULL);
    pthread_join(thread, NULL);

    pid_t child;
    char *const argv[] = {"true", NULL};
    if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) == 0)
        waitpid(child, NULL, 0);
    child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    if (system("true") != 0)
        exit(97);
}

static void show_folder(const char *path)
{
    DIR *folder = opendir(path);
    unsigned entries = 0;
    while (readdir(folder) != NULL)
        entries++;
    closedir(folder);
    printf("%s: %u\n", path, entries);
}

static void show_status(void)
{
    static const char *const keys[] = {
        "Threads:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "FDSize:", "NSpgid:", "Groups:"};
    char line[512];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status) != NULL)
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (i != 6 && strncmp(line, keys[i], strlen(keys[i])) == 0)
                fputs(line, stdout);
    fclose(status);
}

int main(int argc, char **argv, char **envp)
{
    (void)argv;
    set_float_state();
    free(malloc(100)); /* libc's own first time is not the matter here */
    mark("begin");
    errno = 77;
    live();
    int error = errno;
    mark("end");
    printf("errno %d floating point %x signals %d\n", error, float_state(), (int)count);
    show_folder("/proc/self/fd");
    show_folder("/proc/self/task");
    show_status();
    printf("getenv: %s\n", getenv("LD_PRELOAD") == NULL ? "none" : getenv("LD_PRELOAD"));
    for (char **at = environ; *at != NULL; at++)
        if (strncmp(*at, "GRACE_CONFIG", 12) != 0)
            printf("%s%s\n", *at, envp[at - environ] == *at ? "" : " (not in envp)");
    fflush(stdout);
    if (argc > 1 && system("env | grep ^LD_PRELOAD; true") != 0)
        return 96;
    return 7;
}
