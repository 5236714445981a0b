/*
 * A target whose handlers jump out of whatever they interrupted, at random instants, and which
 * looks afterwards whether anything was left behind.
 *
 *     jumper own | alternate     the stack that its handlers run on
 *
 * Timers and a child send it signals of all kinds while it waits in calls of all kinds. Then: is a
 * signal still blocked; does a call come back when a handler has run; does the default action end
 * it. It says "ready" when it waits for that. It makes the file "go-on" for an announce hook that
 * holds a signal back until then.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JUMPS  5000
#define ROUNDS 30

static const int signals[] = {SIGTERM, SIGQUIT, SIGHUP, SIGINT, SIGUSR1};
#define SIGNALS (sizeof signals / sizeof *signals)

static sigjmp_buf back;
static volatile sig_atomic_t jumps[65], quiet, calls, quits;
static int silent[2], epoll;
static int stack_flag;
static char
    stack[8 << 20]; /* on a busy machine jumps meet signals, and those jump, over and over */

static void say(const char *format, ...)
{
    char words[256];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(words, sizeof words, format, list);
    va_end(list);
    if (write(1, words, (size_t)length) != length)
        _exit(99);
}

static void jump(int signo)
{
    jumps[signo]++;
    if (!quiet)
        siglongjmp(back, signo);
}

static void count(int signo)
{
    calls += signo == SIGUSR2;
    quits += signo == SIGQUIT;
}

static void set(int signo, void (*handler)(int), const sigset_t *mask)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = stack_flag};
    if (mask != NULL)
        action.sa_mask = *mask;
    sigaction(signo, &action, NULL);
}

/* One call that waits, a moment at most. */
static int wait_in(int call)
{
    struct timespec moment = {0, 2000000}, rest;
    struct timeval tick = {0, 2000};
    struct epoll_event event;
    struct sigaction now;
    fd_set readable;
    sigset_t other;
    siginfo_t info;
    char byte;
    switch (call % 10) {
    case 0:
        return poll(NULL, 0, 2);
    case 1:
        return ppoll(NULL, 0, &moment, NULL);
    case 2:
        FD_ZERO(&readable);
        FD_SET(silent[0], &readable);
        return select(silent[0] + 1, &readable, NULL, NULL, &tick);
    case 3:
        return epoll_wait(epoll, &event, 1, 2);
    case 4:
        return nanosleep(&moment, &rest);
    case 5:
        return usleep(2000);
    case 6:
        return (int)recv(silent[0], &byte, 1, 0);
    case 7:
        return (int)read(silent[0], &byte, 1);
    case 8:
        sigemptyset(&other);
        sigaddset(&other, SIGUSR2);
        return sigtimedwait(&other, &info, &moment);
    default:
        for (size_t i = 0; i < SIGNALS; i++) { /* in the midst of changing them */
            sigaction(signals[i], NULL, &now);
            sigaction(signals[i], &now, NULL);
        }
        return -1;
    }
}

static timer_t start_timer(int signo, long nanoseconds, int again)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
    struct itimerspec times = {.it_value.tv_nsec = nanoseconds};
    timer_t timer;
    if (again)
        times.it_interval = times.it_value;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &times, NULL) != 0)
        _exit(98);
    return timer;
}

static pid_t start_sender(void)
{
    pid_t target = getpid(), sender = fork();
    if (sender != 0)
        return sender;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; getppid() == target; i++) {
        struct timespec pause = {0, (long)(i * 7919 % 300000)};
        kill(target, signals[i % SIGNALS]);
        nanosleep(&pause, NULL);
    }
    _exit(0);
}

static int jumped_enough(void)
{
    int sum = 0;
    for (size_t i = 0; i < SIGNALS; i++) {
        sum += jumps[signals[i]];
        if (jumps[signals[i]] == 0)
            return 0;
    }
    return sum >= JUMPS;
}

static void jump_about(void)
{
    static volatile int call;
    static timer_t timers[3];
    quiet = 1; /* nobody jumps out of fork */
    for (size_t i = 0; i < SIGNALS; i++)
        set(signals[i], jump, NULL);
    timers[0] = start_timer(SIGTERM, 170000, 1);
    timers[1] = start_timer(SIGUSR1, 130000, 1);
    timers[2] = start_timer(SIGHUP, 190000, 1);
    pid_t sender = start_sender();
    sigsetjmp(back, 1);
    quiet = 0;
    while (!jumped_enough())
        wait_in(call++);
    quiet = 1;
    for (int i = 0; i < 3; i++)
        timer_delete(timers[i]);
    kill(sender, SIGKILL);
    while (waitpid(sender, NULL, 0) < 0 && errno == EINTR)
        continue;
    quiet = 0;
}

/* Below any call that comes later. */
__attribute__((noinline)) static void poll_deep(void)
{
    volatile char room[1024];
    room[0] = 0;
    poll(NULL, 0, 3000);
    room[1] = room[0];
}

/* One signal is kept back for its announcement, and another one's handler jumps out of the call
 * that was to go on: a child sends both, and the first one's handler holds the second one up. */
static void jump_out_of_what_goes_on(int round)
{
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    set(SIGQUIT, count, &user);
    set(SIGUSR1, jump, NULL);
    pid_t target = getpid();
    if (sigsetjmp(back, 1) == 0) {
        if (fork() == 0) {
            struct timespec pause = {0, 2000000};
            nanosleep(&pause, NULL);
            kill(target, SIGQUIT);
            for (volatile int i = 0; i < round * 1000; i++)
                continue;
            kill(target, SIGUSR1);
            _exit(0);
        }
        while (jumps[SIGUSR1] == 0)
            poll_deep();
    }
    while (wait(NULL) < 0 && errno == EINTR)
        continue;
    jumps[SIGUSR1] = 0;
}

/* A wait is interrupted by a handler and says so. */
static int interrupted(void)
{
    int before = calls, others = quits;
    set(SIGUSR2, count, NULL);
    timer_t timer = start_timer(SIGUSR2, 5000000, 0);
    errno = 0;
    int result = poll(NULL, 0, 3000);
    timer_delete(timer);
    return result == -1 && errno == EINTR && calls == before + 1 && quits == others;
}

static unsigned long blocked(void)
{
    unsigned long mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
    return mask;
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct timeval tick = {0, 2000};
    if (argc != 2)
        return 64;
    unlink("go-on");
    if (strcmp(argv[1], "alternate") == 0) {
        stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
        sigaltstack(&alternate, NULL);
        stack_flag = SA_ONSTACK;
    }
    socketpair(AF_UNIX, SOCK_STREAM, 0, silent);
    setsockopt(silent[0], SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, silent[0], &event);

    int right = 0;
    for (int i = 0; i < ROUNDS; i++) {
        jump_out_of_what_goes_on(i);
        right += interrupted();
    }
    say("single jumps: %d of %d interrupted\n", right, ROUNDS);
    FILE *file = fopen("go-on", "w");
    if (file != NULL)
        fclose(file);
    while (quits == 0) /* the one that was kept back */
        poll(NULL, 0, 10);
    jump_about();
    for (size_t i = 0; i < SIGNALS; i++)
        signal(signals[i], SIG_DFL);
    say("jumps: blocked %lx, %d of 1 interrupted\n", blocked(), interrupted());
    say("ready\n");
    for (;;)
        pause();
}
