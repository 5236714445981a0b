/*
 * Becomes a daemon in the way that its first argument names, writes its pid to the file that the
 * second names, and ends as it is told: USR1 has it call exit(4), USR2 _exit(4), HUP executes it
 * anew, TERM kills it, or with a third argument "own" ends in a handler's flag and exit(5).
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *executable; /* absolute, as the daemon changes to / */
static char pid_file[PATH_MAX];
static const char *term = "default";
static volatile sig_atomic_t got;

static void take(int signo)
{
    got = signo;
}

static void write_pid(pid_t pid)
{
    char temporary[PATH_MAX + 16], words[16];
    int length = snprintf(words, sizeof words, "%d\n", pid);
    snprintf(temporary, sizeof temporary, "%s.%d", pid_file, getpid());
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (write(file, words, (size_t)length) != length || close(file) != 0 ||
        rename(temporary, pid_file) != 0)
        _exit(99);
}

static void execute(const char *how)
{
    execl(executable, executable, how, pid_file, term, (char *)NULL);
    _exit(98);
}

static void take_signals(void)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM};
    size_t count = strcmp(term, "own") == 0 ? 4 : 3;
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < count; i++) {
        sigaddset(&blocked, signals[i]);
        signal(signals[i], take);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

/* The daemon's life. */
static int work(void)
{
    sigset_t none;
    sigemptyset(&none);
    take_signals();
    write_pid(getpid());
    while (got == 0)
        sigsuspend(&none);
    if (got == SIGHUP)
        execute("again");
    if (got == SIGUSR2)
        _exit(4);
    exit(got == SIGTERM ? 5 : 4);
}

/* The child comes back; the parent ends in the given way. */
static void leave_by_exit(void)
{
    if (fork() > 0)
        exit(0);
}

/* Wait until the other end of the pipe is closed by its owner's end. */
static void wait_for_end(const int ends[2])
{
    char byte;
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 0)
        _exit(97);
    close(ends[0]);
}

/* ---- ways in which the daemon is the owner -------------------------------------------------- */

static int by_daemon_00(void)
{
    return daemon(0, 0) == 0 ? work() : 99;
}

static int by_daemon_11(void)
{
    return daemon(1, 1) == 0 ? work() : 99;
}

static int by_fork_setsid(void)
{
    leave_by_exit();
    setsid();
    return work();
}

static int by_return(void)
{
    if (fork() > 0)
        return 0;
    setsid();
    return work();
}

static int by_setsid_twice(void)
{
    leave_by_exit();
    setsid();
    leave_by_exit();
    setsid();
    return work();
}

/* As daemon(7) says: the parent waits for the grandchild's word, when the child is long gone. */
static int by_ready_pipe(void)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return 99;
    pid_t child = fork();
    if (child > 0) {
        close(ready[1]);
        waitpid(child, NULL, 0);
        return read(ready[0], &byte, 1) == 1 ? 0 : 96;
    }
    setsid();
    if (fork() > 0)
        _exit(0);
    close(ready[0]);
    /* Nothing is ready before the file .go is there: the story looks at the parent until then. */
    for (const char *go = strcat(strcpy(malloc(PATH_MAX + 8), pid_file), ".go");
         access(go, F_OK) != 0;)
        usleep(1000);
    if (write(ready[1], "r", 1) != 1)
        return 95;
    close(ready[1]);
    return work();
}

static int by__exit(void)
{
    if (fork() > 0)
        _exit(0);
    setsid();
    return work();
}

static int by_raw_exit(void)
{
    if (fork() > 0)
        syscall(SYS_exit_group, 0);
    setsid();
    return work();
}

/* All that a share of old daemons does. */
static int by_closing_everything(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    leave_by_exit();
    setsid();
    signal(SIGHUP, SIG_IGN);
    leave_by_exit();
    umask(0);
    for (int fd = 0; fd < (limit.rlim_cur < 70000 ? (int)limit.rlim_cur : 70000); fd++)
        close(fd);
    if (chdir("/") != 0 || open("/dev/null", O_RDWR) != 0)
        _exit(94);
    return work();
}

static int by_parents_pid_file(void)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return 99;
    pid_t child = fork();
    if (child > 0) {
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
            return 95;
        write_pid(child);
        return 0;
    }
    take_signals();
    setsid();
    if (write(ready[1], "r", 1) != 1)
        return 95;
    return work();
}

/* A helper that is forked first and lives as long as the daemon is not the one. */
static int by_second_child(void)
{
    int alive[2];
    if (pipe(alive) != 0)
        return 99;
    if (fork() == 0) {
        wait_for_end(alive); /* the daemon's, which holds it too */
        _exit(0);
    }
    close(alive[0]);
    leave_by_exit();
    setsid();
    return work();
}

/* A helper that is forked last, and lives as long as the daemon. */
static int by_helper_last(void)
{
    int alive[2];
    if (pipe(alive) != 0)
        return 99;
    if (fork() == 0) {
        close(alive[0]);
        setsid();
        return work();
    }
    if (fork() == 0) {
        wait_for_end(alive);
        _exit(0);
    }
    return 0;
}

/* Many children came and went, in every way, before the one that stays. */
static int by_last_of_many(void)
{
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (i % 4 == 0)
                raise(SIGKILL);
            if (i % 4 == 1)
                abort();
            if (i % 4 == 2)
                execl("/bin/true", "true", (char *)NULL);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    return by_fork_setsid();
}

/* Workers are there before the parent leaves, forked after the daemon. */
static int by_pool_of(int workers)
{
    int ready[2], alive[2];
    char byte;
    if (pipe(ready) != 0 || pipe(alive) != 0)
        return 99;
    if (fork() > 0) {
        close(alive[0]);
        close(alive[1]);
        return read(ready[0], &byte, 1) == 1 ? 0 : 96;
    }
    setsid();
    for (int i = 0; i < workers; i++)
        if (fork() == 0) {
            wait_for_end(alive);
            _exit(0);
        }
    close(alive[0]);
    if (write(ready[1], "r", 1) != 1)
        return 95;
    return work();
}

static int by_pool(void)
{
    return by_pool_of(3);
}

/* More than the ledger has places for. */
static int by_pool_of_many(void)
{
    return by_pool_of(150);
}

/* A helper of the first process lives, and the child that forked the daemon is gone. */
static int by_pool_of_grandchild(void)
{
    int alive[2];
    if (pipe(alive) != 0)
        return 99;
    if (fork() == 0) {
        wait_for_end(alive);
        _exit(0);
    }
    close(alive[0]);
    pid_t child = fork();
    if (child > 0)
        return waitpid(child, NULL, 0) == child ? 0 : 99;
    return by_pool();
}

/* The last step of becoming a daemon is an exec of itself, once the parent is gone. */
static int by_executing_itself(void)
{
    int alive[2];
    if (pipe(alive) != 0)
        return 99;
    if (fork() > 0)
        exit(0);
    wait_for_end(alive);
    setsid();
    execute("again");
    return 99;
}

static int by_fork_of_the_kernel(void)
{
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) > 0)
        exit(0);
    setsid();
    return work();
}

/* ---- ways in which the parent was the owner, and its end was the end ------------------------- */

static int parent_exits_1(void)
{
    if (fork() > 0)
        exit(1);
    setsid();
    return work();
}

static int parent_dies(void)
{
    if (fork() > 0)
        raise(SIGKILL);
    setsid();
    return work();
}

static int parent_is_stopped(void)
{
    if (fork() > 0)
        raise(SIGTERM);
    setsid();
    return work();
}

/* A stop is under way when the parent's handler has it exit with status 0. */
static void exit_0(int signo)
{
    (void)signo;
    exit(0);
}

static int parent_handles_stop(void)
{
    signal(SIGTERM, exit_0);
    if (fork() > 0)
        raise(SIGTERM);
    signal(SIGTERM, SIG_DFL);
    setsid();
    return work();
}

static int leaves_vforked_program(void)
{
    if (vfork() == 0) {
        execl(executable, executable, "again", pid_file, term, (char *)NULL);
        _exit(98);
    }
    return 0;
}

static int leaves_spawned_program(void)
{
    char *const argv[] = {(char *)(uintptr_t)executable, "again", pid_file, (char *)(uintptr_t)term,
                          NULL};
    pid_t pid;
    return posix_spawn(&pid, executable, NULL, NULL, argv, environ) == 0 ? 0 : 99;
}

/* Executed before the parent ends. */
static int leaves_executed_program(void)
{
    int executed[2];
    if (pipe2(executed, O_CLOEXEC) != 0)
        return 99;
    if (fork() == 0)
        execute("again");
    wait_for_end(executed);
    while (access(pid_file, F_OK) != 0)
        usleep(1000);
    return 0;
}

static int leaves_nobody(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    write_pid(child);
    siginfo_t info;
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT); /* a zombie is nobody */
}

/* A child lives already when libc's daemon() finds no room for another one. */
static int daemon_fails(void)
{
    struct rlimit limit, none;
    int ends[2];
    if (pipe(ends) != 0)
        return 99;
    if (fork() == 0) {
        wait_for_end(ends);
        _exit(0);
    }
    getrlimit(RLIMIT_NPROC, &limit);
    none = limit;
    none.rlim_cur = 0;
    if (setrlimit(RLIMIT_NPROC, &none) != 0 || daemon(0, 0) == 0)
        return 93;
    return setrlimit(RLIMIT_NPROC, &limit) == 0 ? 7 : 92;
}

static int again(void)
{
    return work();
}

static const struct way {
    const char *name;
    int (*go)(void);
} ways[] = {
    {"daemon-0-0", by_daemon_00},
    {"daemon-1-1", by_daemon_11},
    {"fork-setsid", by_fork_setsid},
    {"return", by_return},
    {"setsid-twice", by_setsid_twice},
    {"ready-pipe", by_ready_pipe},
    {"_exit", by__exit},
    {"raw-exit", by_raw_exit},
    {"closes-everything", by_closing_everything},
    {"parents-pid-file", by_parents_pid_file},
    {"second-child", by_second_child},
    {"helper-last", by_helper_last},
    {"last-of-many", by_last_of_many},
    {"pool", by_pool},
    {"pool-of-many", by_pool_of_many},
    {"daemon-fails", daemon_fails},
    {"pool-of-grandchild", by_pool_of_grandchild},
    {"executes-itself", by_executing_itself},
    {"fork-of-the-kernel", by_fork_of_the_kernel},
    {"parent-exits-1", parent_exits_1},
    {"parent-dies", parent_dies},
    {"parent-is-stopped", parent_is_stopped},
    {"parent-handles-stop", parent_handles_stop},
    {"vforked-program", leaves_vforked_program},
    {"spawned-program", leaves_spawned_program},
    {"executed-program", leaves_executed_program},
    {"nobody", leaves_nobody},
    {"again", again},
    {"foreground", again},
};

int main(int argc, char **argv)
{
    executable = realpath("/proc/self/exe", NULL);
    if (argc < 3 || executable == NULL)
        return 64;
    if (argc > 3)
        term = argv[3];
    if (argv[2][0] == '/' || getcwd(pid_file, sizeof pid_file / 2) == NULL)
        pid_file[0] = '\0';
    else
        strcat(pid_file, "/");
    strncat(pid_file, argv[2], sizeof pid_file / 2 - 1);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(ways[i].name, argv[1]) == 0)
            return ways[i].go();
    fprintf(stderr, "usage: daemonizer WAY PIDFILE [own]\n");
    return 64;
}
