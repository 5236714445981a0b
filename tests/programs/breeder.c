/*
 * A program with many children: breeder WAY COUNT PIDFILE. It has a tenth of them to warm up and
 * says "before"; then all, and says "after"; then it leaves the rest of its life to a child, whose
 * pid it writes, and exits. Each step but the first waits for SIGUSR1.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

extern char **environ;

static char *const nothing[] = {"/bin/true", NULL};

static pid_t by_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static pid_t by_exit(void)
{
    pid_t pid = fork();
    if (pid == 0)
        exit(0);
    return pid;
}

static pid_t by_kill(void)
{
    pid_t pid = fork();
    if (pid == 0)
        raise(SIGKILL);
    return pid;
}

static pid_t by_exec(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(execv(nothing[0], nothing));
    return pid;
}

static pid_t by_vfork(void)
{
    pid_t pid = vfork();
    if (pid == 0)
        _exit(execv(nothing[0], nothing));
    return pid;
}

static pid_t by_spawn(void)
{
    pid_t pid;
    return posix_spawn(&pid, nothing[0], NULL, NULL, nothing, environ) == 0 ? pid : -1;
}

/* The child leaves a child of its own, as a daemon's does; that one comes back to this process. */
static pid_t by_double_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() > 0)
            _exit(0);
        setsid();
        _exit(0);
    }
    return waitpid(pid, NULL, 0) == pid ? -2 : -1;
}

static const struct {
    const char *name;
    pid_t (*have_child)(void);
} ways[] = {
    {"fork", by_fork},   {"exit", by_exit},          {"kill", by_kill},   {"exec", by_exec},
    {"vfork", by_vfork}, {"double", by_double_fork}, {"spawn", by_spawn},
};

static pid_t (*have_child)(void);

static void *breed(void *count)
{
    for (long i = *(long *)count; i > 0; i--) {
        pid_t pid = have_child();
        if (pid == -1 || waitpid(pid == -2 ? -1 : pid, NULL, 0) < 0)
            exit(1);
    }
    return NULL;
}

static void have_children(int by_threads, long count)
{
    pthread_t threads[THREADS];
    if (!by_threads) {
        breed(&count);
        return;
    }
    long share = count / THREADS;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, breed, &share) != 0)
            exit(1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void step(const sigset_t *go, const char *words)
{
    int signo;
    if (write(1, words, strlen(words)) < 0 || sigwait(go, &signo) != 0)
        exit(1);
}

static void leave(const char *pid_file)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    FILE *file = fopen(pid_file, "w");
    fprintf(file, "%d\n", pid);
    fclose(file);
}

int main(int argc, char **argv)
{
    sigset_t go;
    if (argc != 4)
        return 64;
    long count = atol(argv[2]);
    int threads = strncmp(argv[1], "threads-", 8) == 0;
    const char *way = threads ? argv[1] + 8 : argv[1];
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(ways[i].name, way) == 0)
            have_child = ways[i].have_child;
    if (have_child == NULL)
        return 64;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, NULL);
    have_children(threads, count / 10);
    step(&go, "before\n");
    have_children(threads, count);
    step(&go, "after\n");
    leave(argv[3]);
    return 0;
}
