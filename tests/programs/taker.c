/*
 * A target that takes its stop signals itself, in one of the ways that libgrace has to look after,
 * and writes down what it got.
 *
 *     taker WAY
 *
 *     sigwait sigwaitinfo sigtimedwait   blocked everywhere, taken by the call
 *     signalfd signalfd-epoll            blocked everywhere, read from a descriptor
 *     signalfd-moved                     the same, the descriptor moved to another number
 *     signalfd-thread                    read in a thread
 *     signalfd-child                     by a forked child, from the descriptor it inherited
 *     signalfd-raise                     the target raises the signal itself
 *     blocked                            never taken: blocked until it exits at SIGUSR1
 *     handler handler-thread             handlers for TERM and QUIT, told apart
 *
 * It says "ready", then for each signal "WAY SIGNO CODE VALUE" and whether the hook A had run by
 * then. It exits 7 when the signal's value (sigqueue) is 99 or it came without a value.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *way;
static sigset_t stops;

static const char *hook_a(void)
{
    struct stat order;
    return stat("order", &order) == 0 && order.st_size > 0 ? "announced" : "not announced";
}

static void got(int signo, int code, int value)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s %d %d %d %s\n", way, signo, code, value, hook_a());
    if (write(1, line, (size_t)length) != length)
        _exit(98);
}

static int is_last(int code, int value)
{
    return code != SI_QUEUE || value == 99;
}

static void by_call(void)
{
    struct timespec hour = {3600, 0};
    for (;;) {
        siginfo_t info = {.si_code = SI_USER};
        int signo;
        if (strcmp(way, "sigwait") == 0) {
            if (sigwait(&stops, &signo) != 0)
                exit(97);
        } else if (strcmp(way, "sigwaitinfo") == 0) {
            signo = sigwaitinfo(&stops, &info);
        } else {
            signo = sigtimedwait(&stops, &info, &hour);
        }
        int value = info.si_code == SI_QUEUE ? info.si_value.sival_int : 0;
        got(signo, info.si_code, value);
        if (is_last(info.si_code, value))
            exit(7);
    }
}

static void *by_descriptor(void *argument)
{
    struct signalfd_siginfo info;
    int fd = *(int *)argument;
    if (strcmp(way, "signalfd-epoll") == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        while (epoll_wait(epoll, &event, 1, -1) != 1)
            continue;
    }
    while (read(fd, &info, sizeof info) == sizeof info) {
        int value = info.ssi_code == SI_QUEUE ? info.ssi_int : 0;
        got((int)info.ssi_signo, info.ssi_code, value);
        if (is_last(info.ssi_code, value))
            exit(7);
    }
    exit(96);
}

static void by_child(int fd)
{
    pid_t child = fork();
    if (child == 0)
        by_descriptor(&fd);
    int status;
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    printf("child: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    fflush(stdout);
    by_descriptor(&fd);
}

static void by_any_descriptor(void)
{
    int fd = signalfd(-1, &stops, SFD_CLOEXEC);
    pthread_t thread;
    if (strcmp(way, "signalfd-moved") == 0) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
        fd = high;
    }
    printf("ready\n");
    fflush(stdout);
    if (strcmp(way, "signalfd-raise") == 0)
        raise(SIGTERM);
    if (strcmp(way, "signalfd-child") == 0)
        by_child(fd);
    if (strcmp(way, "signalfd-thread") == 0) {
        pthread_create(&thread, NULL, by_descriptor, &fd);
        pthread_join(thread, NULL);
    }
    by_descriptor(&fd);
}

static volatile sig_atomic_t seen;

static void on_stop(int signo, siginfo_t *info, void *context)
{
    (void)context;
    int value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
    got(signo, info->si_code, value);
    seen |= signo == SIGTERM ? 1 : signo == SIGQUIT ? 2 : 0;
}

static void *live(void *unused)
{
    pthread_sigmask(SIG_UNBLOCK, &stops, NULL);
    printf("ready\n");
    fflush(stdout);
    while (seen != 3)
        poll(NULL, 0, 10);
    exit(7);
    return unused;
}

static void by_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_stop, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGQUIT, &action, NULL);
    if (strcmp(way, "handler") == 0)
        live(NULL);
    pthread_create(&thread, NULL, live, NULL);
    pthread_join(thread, NULL);
}

static void on_usr1(int signo)
{
    (void)signo;
    got(SIGUSR1, 0, 0);
    _exit(7);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 99;
    way = argv[1];
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGQUIT);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    signal(SIGUSR1, on_usr1);
    if (strncmp(way, "handler", 7) == 0)
        by_handler();
    if (strncmp(way, "signalfd", 8) == 0)
        by_any_descriptor();
    printf("ready\n");
    fflush(stdout);
    if (strncmp(way, "sigwait", 7) == 0 || strcmp(way, "sigtimedwait") == 0)
        by_call();
    for (;;)
        pause();
}
