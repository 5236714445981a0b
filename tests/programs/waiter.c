/*
 * A target that waits in one call, and writes down how the call came back.
 *
 *     waiter CALL MS     MS 0: for ever
 *
 * It has a handler for SIGUSR1 and for nothing else. Says "ready" before the call, and makes the
 * file done.PID after it, which holds "CALL: result, errno, milliseconds"; then it waits to be
 * ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int silent[2]; /* a pair of sockets: nothing ever comes */
static int listener, epoll, queue, semaphores;
static sem_t semaphore;
static int limit_ms;
static struct timespec limit, until, until_real;
static struct timeval limit_us;
static sigset_t none, usr2;

static void on_usr1(int signo)
{
    (void)signo;
}

static struct timespec after(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    now.tv_sec += limit.tv_sec;
    now.tv_nsec += limit.tv_nsec;
    if (now.tv_nsec >= 1000000000) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000;
    }
    return now;
}

#define LIMITED(value) (limit_ms == 0 ? NULL : &(value))
#define MS             (limit_ms == 0 ? -1 : limit_ms)

static long error_of(int result)
{
    errno = result;
    return result == 0 ? 0 : -1;
}

static struct pollfd *one(void)
{
    static struct pollfd list;
    list = (struct pollfd){.fd = silent[0], .events = POLLIN};
    return &list;
}

static fd_set *readable(void)
{
    static fd_set set;
    FD_ZERO(&set);
    FD_SET(silent[0], &set);
    return &set;
}

static long by_name(const char *call)
{
    static struct epoll_event event;
    static struct {
        long type;
        char text[64];
    } message = {.type = 1};
    struct sembuf down = {.sem_op = -1};
    char byte;
    siginfo_t info;
#define IS(name) (strcmp(call, name) == 0)
    if (IS("poll"))
        return poll(one(), 1, MS);
    if (IS("ppoll"))
        return ppoll(one(), 1, LIMITED(limit), &none);
    if (IS("select"))
        return select(silent[0] + 1, readable(), NULL, NULL, LIMITED(limit_us));
    if (IS("pselect"))
        return pselect(silent[0] + 1, readable(), NULL, NULL, LIMITED(limit), &none);
    if (IS("epoll_wait"))
        return epoll_wait(epoll, &event, 1, MS);
    if (IS("epoll_pwait"))
        return epoll_pwait(epoll, &event, 1, MS, &none);
    if (IS("epoll_pwait2"))
        return epoll_pwait2(epoll, &event, 1, LIMITED(limit), &none);
    if (IS("nanosleep"))
        return nanosleep(&limit, NULL);
    if (IS("thrd_sleep"))
        return thrd_sleep(&limit, NULL);
    if (IS("clock_nanosleep"))
        return error_of(clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, NULL));
    if (IS("clock_nanosleep-until"))
        return error_of(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    if (IS("sleep"))
        return sleep((unsigned)limit_ms / 1000);
    if (IS("usleep"))
        return usleep((unsigned)limit_ms * 1000);
    if (IS("pause"))
        return pause();
    if (IS("sigsuspend"))
        return sigsuspend(&none);
    if (IS("sigpause"))
        return sigpause(SIGUSR2);
    if (IS("sigtimedwait"))
        return sigtimedwait(&usr2, &info, &limit);
    if (IS("sigwaitinfo"))
        return sigwaitinfo(&usr2, &info);
    if (IS("msgrcv"))
        return msgrcv(queue, &message, sizeof message.text, 2, 0);
    if (IS("msgsnd"))
        for (int i = 0;; i++)
            if (msgsnd(queue, &message, sizeof message.text, 0) != 0)
                return -1;
    if (IS("semop"))
        return semop(semaphores, &down, 1);
    if (IS("semtimedop"))
        return semtimedop(semaphores, &down, 1, LIMITED(limit));
    if (IS("sem_wait"))
        return sem_wait(&semaphore);
    if (IS("sem_timedwait"))
        return sem_timedwait(&semaphore, &until_real);
    if (IS("sem_clockwait"))
        return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until);
    if (IS("recv"))
        return recv(silent[0], &byte, 1, 0);
    if (IS("recvfrom"))
        return recvfrom(silent[0], &byte, 1, 0, NULL, NULL);
    if (IS("read"))
        return read(silent[0], &byte, 1);
    if (IS("accept"))
        return accept(listener, NULL, NULL);
    exit(98);
}

static void prepare(int ms)
{
    struct sigaction action = {.sa_handler = on_usr1};
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
    struct epoll_event event = {.events = EPOLLIN};
    limit_ms = ms;
    limit = (struct timespec){ms / 1000, ms % 1000 * 1000000L};
    limit_us = (struct timeval){ms / 1000, ms % 1000 * 1000L};
    until = after(CLOCK_MONOTONIC);
    until_real = after(CLOCK_REALTIME);
    sigaddset(&usr2, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    socketpair(AF_UNIX, SOCK_STREAM, 0, silent);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&nowhere, sizeof nowhere.sun_family);
    listen(listener, 1);
    setsockopt(silent[0], SOL_SOCKET, SO_RCVTIMEO, &limit_us, sizeof limit_us);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit_us, sizeof limit_us);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, silent[0], &event);
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    sem_init(&semaphore, 0, 0);
}

int main(int argc, char **argv)
{
    struct timespec began, ended;
    if (argc != 3)
        return 99;
    prepare(atoi(argv[2]));
    printf("ready\n");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &began);
    errno = 0;
    long result = by_name(argv[1]);
    int error = errno;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    msgctl(queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    long ms = (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000;
    char name[64];
    snprintf(name, sizeof name, "new.%d", getpid());
    FILE *file = fopen(name, "w");
    fprintf(file, "%ld %d %ld\n", result, error, ms);
    fclose(file);
    char done[64];
    snprintf(done, sizeof done, "done.%d", getpid());
    rename(name, done);
    for (;;)
        pause();
}
