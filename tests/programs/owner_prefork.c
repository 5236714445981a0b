/*
 * A server with workers: some end in every way there is and are seen to, two go on serving. Then
 * the master ends as its argument says.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVING 2
static pid_t serving[SERVING];
static volatile sig_atomic_t stop;

/* A worker's death that comes before it has set itself up is not to be the master's handler's, and
 * the master is not to miss its stop: the signal waits until somebody is ready for it. */
static void hold_stop(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(how, &set, NULL);
}

static void on_stop(int signo)
{
    stop = signo;
}

static void worker_exits(void)
{
    exit(3);
}

static void worker_returns_status_0(void)
{
    exit(0);
}

static void worker__exits(void)
{
    _exit(4);
}

static void worker_crashes(void)
{
    *(volatile int *)16 = 1;
}

static void worker_is_killed(void)
{
    raise(SIGKILL);
}

static void worker_is_stopped(void)
{
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
}

static void worker_executes(void)
{
    execl("/bin/false", "false", (char *)NULL);
}

static void (*const lives[])(void) = {
    worker_exits,   worker_returns_status_0, worker__exits,     abort,
    worker_crashes, worker_is_killed,        worker_is_stopped, worker_executes};

static void serve(void)
{
    signal(SIGTERM, SIG_DFL);
    hold_stop(SIG_UNBLOCK);
    for (;;)
        pause();
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static pid_t have_worker(void (*live)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (live != serve)
            hold_stop(SIG_UNBLOCK);
        live();
        _exit(99);
    }
    return pid;
}

static void end_workers(int signo)
{
    for (int i = 0; i < SERVING; i++) {
        kill(serving[i], signo);
        printf("served: %#x\n", (unsigned)wait_for(serving[i]));
    }
}

int main(int argc, char **argv)
{
    const char *end = argc == 2 ? argv[1] : "";
    struct sigaction action = {.sa_handler = on_stop};
    setvbuf(stdout, NULL, _IONBF, 0);
    sigset_t none;
    sigemptyset(&none);
    hold_stop(SIG_BLOCK);
    sigaction(SIGTERM, &action, NULL);
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++)
        printf("worker: %#x\n", (unsigned)wait_for(have_worker(lives[i])));
    for (int i = 0; i < SERVING; i++)
        serving[i] = have_worker(serve);
    puts("ready");
    while (!stop)
        sigsuspend(&none);
    hold_stop(SIG_UNBLOCK);
    if (strcmp(end, "leaves") != 0)
        end_workers(strcmp(end, "kills") == 0 ? SIGKILL : SIGTERM);
    if (strcmp(end, "dies") == 0) {
        signal(SIGTERM, SIG_DFL);
        raise(SIGTERM);
    }
    return strcmp(end, "fails") == 0 ? 1 : 0;
}
