/*
 * A target that waits in one call, and writes down how the call came back.
 *
 *     waiter CALL MS [thread] [handler]     MS 0: for ever
 *
 * thread: in another thread than the main one, which blocks all signals. handler: it has a handler
 * for SIGTERM, set without SA_RESTART, that makes the file handled.PID.
 *
 * It has a handler for SIGUSR1 and for nothing else. Says "ready" before the call, and makes the
 * file done.PID after it, which holds "CALL: result, errno, milliseconds, handlers called before";
 * then it waits to be ended.
 */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
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

static volatile sig_atomic_t handled;

static void on_term(int signo)
{
    char name[64] = "handled.", digits[16];
    int fd, count = 0;
    (void)signo;
    handled++;
    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    for (char *at = name + 8; count > 0; *at = '\0')
        *at++ = digits[--count];
    if ((fd = open(name, O_WRONLY | O_CREAT, 0600)) >= 0)
        close(fd);
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

#define IS(name) (strcmp(call, name) == 0)

static char byte;
static struct iovec vector = {&byte, 1};
static struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}},
                                     {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}}};

/* A name for a file of its own, its children's too. */
static char *own_path(void)
{
    static char path[64];
    if (path[0] == '\0')
        snprintf(path, sizeof path, "file.%d", (int)getpid());
    return path;
}

/* A stream that takes nothing more. */
static int full(void)
{
    while (send(silent[0], messages, 64, MSG_DONTWAIT) > 0)
        continue;
    while (send(silent[0], messages, 1, MSG_DONTWAIT) > 0)
        continue;
    errno = 0;
    return silent[0];
}

/* A listener whose backlog is full. */
static int connect_to_full(void)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fd, (struct sockaddr *)&address, length) != 0)
            break;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit_us, sizeof limit_us);
    errno = 0;
    return connect(fd, (struct sockaddr *)&address, length);
}

static long on_socket(const char *call)
{
    if (IS("recv"))
        return recv(silent[0], &byte, 1, 0);
    if (IS("recvfrom"))
        return recvfrom(silent[0], &byte, 1, 0, NULL, NULL);
    if (IS("recvmsg"))
        return recvmsg(silent[0], &messages[0].msg_hdr, 0);
    if (IS("recvmmsg"))
        return recvmmsg(silent[0], messages, 2, 0, NULL);
    if (IS("read"))
        return read(silent[0], &byte, 1);
    if (IS("readv"))
        return readv(silent[0], &vector, 1);
    if (IS("accept"))
        return accept(listener, NULL, NULL);
    if (IS("accept4"))
        return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (IS("connect"))
        return connect_to_full();
    if (IS("send"))
        return send(full(), &byte, 1, 0);
    if (IS("sendto"))
        return sendto(full(), &byte, 1, 0, NULL, 0);
    if (IS("sendmsg"))
        return sendmsg(full(), &messages[0].msg_hdr, 0);
    if (IS("sendmmsg"))
        return sendmmsg(full(), messages, 2, 0);
    if (IS("write"))
        return write(full(), &byte, 1);
    if (IS("writev"))
        return writev(full(), &vector, 1);
    return -99;
}

static long on_pipe(const char *call)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -98;
    if (IS("pipe-read"))
        return read(ends[0], &byte, 1);
    if (IS("splice"))
        return splice(ends[0], NULL, silent[0], NULL, 1, 0);
    if (IS("tee")) {
        int others[2];
        return pipe(others) == 0 ? tee(ends[0], others[1], 1, 0) : -98;
    }
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], messages, sizeof messages) > 0)
        continue;
    while (write(ends[1], messages, 1) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    errno = 0;
    if (IS("pipe-write"))
        return write(ends[1], &byte, 1);
    if (IS("vmsplice"))
        return vmsplice(ends[1], &vector, 1, 0);
    if (IS("sendfile"))
        return sendfile(ends[1], open("/proc/self/exe", O_RDONLY), NULL, 1);
    return -99;
}

static pid_t child(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, SIG_IGN);
        while (getppid() == parent)
            sleep(3600);
        _exit(0);
    }
    return pid;
}

static long on_child(const char *call)
{
    siginfo_t info;
    pid_t pid = child();
    if (IS("wait"))
        return wait(NULL);
    if (IS("wait3"))
        return wait3(NULL, 0, NULL);
    if (IS("wait4"))
        return wait4(pid, NULL, 0, NULL);
    if (IS("waitpid"))
        return waitpid(pid, NULL, 0);
    return IS("waitid") ? waitid(P_PID, (id_t)pid, &info, WEXITED) : -99;
}

/* Held by another process: locks of fcntl are a process's. */
static long on_lock(const char *call)
{
    struct flock whole = {.l_type = F_WRLCK};
    int taken[2], fd = open(own_path(), O_RDWR | O_CREAT, 0600);
    pid_t parent = getpid();
    if (pipe(taken) != 0)
        return -98;
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, SIG_IGN);
        fd = open(own_path(), O_RDWR);
        flock(fd, LOCK_EX);
        fcntl(fd, F_SETLK, &whole);
        close(taken[1]);
        while (getppid() == parent)
            sleep(3600);
        _exit(0);
    }
    close(taken[1]);
    fcntl(taken[0], F_SETFL, O_NONBLOCK); /* asleep is what it is in its call alone */
    while (read(taken[0], &byte, 1) != 0)
        sched_yield();
    errno = 0;
    if (IS("flock"))
        return flock(fd, LOCK_EX);
    if (IS("fcntl"))
        return fcntl(fd, F_SETLKW, &whole);
    if (IS("fcntl-ofd"))
        return fcntl(fd, F_OFD_SETLKW, &whole);
    return IS("lockf") ? lockf(fd, F_LOCK, 0) : -99;
}

static long on_file(const char *call)
{
    uint64_t count;
    if (IS("inotify")) {
        int fd = inotify_init();
        char events[1024];
        inotify_add_watch(fd, "/", IN_DELETE_SELF);
        return read(fd, events, sizeof events);
    }
    if (IS("eventfd"))
        return read(eventfd(0, 0), &count, sizeof count);
    if (IS("terminal")) {
        int fd = posix_openpt(O_RDWR | O_NOCTTY);
        return read(fd, &byte, grantpt(fd) == 0 && unlockpt(fd) == 0 ? 1 : 0);
    }
    if (strncmp(call, "fifo", 4) == 0 && mkfifo(own_path(), 0600) == 0)
        return IS("fifo-read") ? open(own_path(), O_RDONLY) : open(own_path(), O_WRONLY);
    return -99;
}

static long on_posix_queue(const char *call)
{
    char name[64], text[16];
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = sizeof text};
    snprintf(name, sizeof name, "/grace-waiter.%d", (int)getpid());
    mqd_t mq = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
    mq_unlink(name);
    if (mq == (mqd_t)-1)
        return -98;
    if (IS("mq_receive"))
        return mq_receive(mq, text, sizeof text, NULL);
    if (IS("mq_timedreceive"))
        return mq_timedreceive(mq, text, sizeof text, NULL, &until_real);
    if (mq_send(mq, "x", 1, 0) != 0)
        return -97;
    if (IS("mq_send"))
        return mq_send(mq, "x", 1, 0);
    return IS("mq_timedsend") ? mq_timedsend(mq, "x", 1, 0, &until_real) : -99;
}

/* A read that never ends, in the background. */
static long on_background(void)
{
    static struct aiocb request;
    const struct aiocb *list[] = {&request};
    int ends[2];
    if (pipe(ends) != 0)
        return -98;
    request.aio_fildes = ends[0];
    request.aio_buf = &byte;
    request.aio_nbytes = 1;
    if (aio_read(&request) != 0)
        return -97;
    return aio_suspend(list, 1, LIMITED(limit));
}

static long by_name(const char *call)
{
    if (strncmp(call, "mq_", 3) == 0)
        return on_posix_queue(call);
    if (strncmp(call, "wait", 4) == 0)
        return on_child(call);
    if (IS("aio_suspend"))
        return on_background();
    if (IS("flock") || IS("lockf") || strncmp(call, "fcntl", 5) == 0)
        return on_lock(call);
    static struct epoll_event event;
    static struct {
        long type;
        char text[64];
    } message = {.type = 1};
    struct sembuf down = {.sem_op = -1};
    siginfo_t info;
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
    for (size_t i = 0; i < 3; i++) {
        static long (*const kinds[])(const char *) = {on_socket, on_pipe, on_file};
        long result = kinds[i](call);
        if (result > -90)
            return result;
    }
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
    sigaddset(&usr2, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    socketpair(AF_UNIX, SOCK_STREAM, 0, silent);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&nowhere, sizeof nowhere.sun_family);
    listen(listener, 1);
    setsockopt(silent[0], SOL_SOCKET, SO_RCVTIMEO, &limit_us, sizeof limit_us);
    setsockopt(silent[0], SOL_SOCKET, SO_SNDTIMEO, &limit_us, sizeof limit_us);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit_us, sizeof limit_us);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, silent[0], &event);
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    sem_init(&semaphore, 0, 0);
}

static const char *call_name;

static void *play(void *unused)
{
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    until = after(CLOCK_MONOTONIC);
    until_real = after(CLOCK_REALTIME);
    errno = 0;
    long result = by_name(call_name);
    int error = errno;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    int handlers = handled;
    msgctl(queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    long ms = (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000;
    char name[64];
    snprintf(name, sizeof name, "new.%d", getpid());
    FILE *file = fopen(name, "w");
    fprintf(file, "%ld %d %ld %d\n", result, error, ms, handlers);
    fclose(file);
    char done[64];
    snprintf(done, sizeof done, "done.%d", getpid());
    rename(name, done);
    return unused;
}

static int has_word(char **argv, const char *word)
{
    for (; *argv != NULL; argv++)
        if (strcmp(*argv, word) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 99;
    prepare(atoi(argv[2]));
    call_name = argv[1];
    struct sigaction action = {.sa_handler = on_term};
    if (has_word(argv, "handler"))
        sigaction(SIGTERM, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    if (has_word(argv, "thread")) {
        pthread_t thread;
        sigset_t all;
        pthread_create(&thread, NULL, play, NULL);
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, NULL);
        pthread_join(thread, NULL);
        pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    } else {
        play(NULL);
    }
    for (;;)
        pause();
}
