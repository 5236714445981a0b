/*
 * Executes itself in the way that its first argument names, and the program it becomes writes down
 * what it has got: environment, signals, descriptors, limits, mapped files. The second argument is
 * the state in which it does so: "plain", with dispositions of its own ("handles"), as a daemon
 * that has taken over ("daemon"), or within a handler of a stop signal ("stopping").
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *self;
static char *look[] = {NULL, "look", NULL};

/* ---- the look -------------------------------------------------------------------------------- */

static void show_lines(const char *path, const char *const *keys)
{
    char line[4096];
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file) != NULL)
        for (size_t i = 0; keys[i] != NULL; i++)
            if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                fputs(line, stdout);
    fclose(file);
}

static void show_descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat about;
        if (fstat(fd, &about) == 0)
            printf("descriptor %d: type %o, flags %o, close-on-exec %d\n", fd,
                   about.st_mode & S_IFMT, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    }
}

static void show_limits(void)
{
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit((unsigned)which, &limit);
        printf("limit %d: %llu %llu\n", which, (unsigned long long)limit.rlim_cur,
               (unsigned long long)limit.rlim_max);
    }
}

/* Memory that a program of our own has no business with. */
static void show_maps(void)
{
    char line[4096];
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file) != NULL)
        if (strstr(line, "grace") != NULL && strstr(line, "owner_look") == NULL)
            fputs(line, stdout);
    fclose(file);
}

static int look_around(void)
{
    static const char *const keys[] = {
        "SigPnd", "ShdPnd",   "SigBlk",     "SigIgn", "SigCgt", "Threads",
        "Umask",  "Seccomp:", "NoNewPrivs", "CapEff", NULL};
    show_descriptors();
    printf("group %s, session %s\n", getpgrp() == getpid() ? "own" : "another's",
           getsid(0) == getpid() ? "own" : "another's");
    printf("nice %d, mask %o\n", getpriority(PRIO_PROCESS, 0), umask(0));
    for (char **at = environ; *at != NULL; at++)
        if (strncmp(*at, "GRACE_CONFIG=", 13) != 0)
            puts(*at);
    show_lines("/proc/self/status", keys);
    show_limits();
    show_maps();
    show_lines("/proc/self/timers", (const char *const[]){"", NULL});
    return 0;
}

/* ---- ways of executing ----------------------------------------------------------------------- */

static void by_execve(void)
{
    execve(self, look, environ);
}

static void by_execv(void)
{
    execv(self, look);
}

static void by_execvp(void)
{
    execvp(self, look);
}

static void by_execvpe(void)
{
    execvpe(self, look, environ);
}

static void by_execl(void)
{
    execl(self, self, "look", (char *)NULL);
}

static void by_execlp(void)
{
    execlp(self, self, "look", (char *)NULL);
}

static void by_execle(void)
{
    char *const only[] = {"ONLY=1", NULL};
    execle(self, self, "look", (char *)NULL, only);
}

static void by_fexecve(void)
{
    fexecve(open(self, O_RDONLY | O_CLOEXEC), look, environ);
}

static void by_execveat(void)
{
    execveat(AT_FDCWD, self, look, environ, 0);
}

/* The first one in the path is not there. */
static void by_second_try(void)
{
    execl("/nowhere/program", "program", (char *)NULL);
    by_execve();
}

static const struct {
    const char *name;
    void (*execute)(void);
} executions[] = {
    {"execve", by_execve},         {"execv", by_execv},     {"execvp", by_execvp},
    {"execvpe", by_execvpe},       {"execl", by_execl},     {"execlp", by_execlp},
    {"execle", by_execle},         {"fexecve", by_fexecve}, {"execveat", by_execveat},
    {"second-try", by_second_try},
};

/* ---- ways of having a child ------------------------------------------------------------------ */

static int reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 99;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int spawn_with(short flags)
{
    posix_spawnattr_t attributes;
    sigset_t set;
    pid_t pid;
    posix_spawnattr_init(&attributes);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(&attributes, &set);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigmask(&attributes, &set);
    posix_spawnattr_setflags(&attributes, flags);
    if (posix_spawn(&pid, self, NULL, &attributes, look, environ) != 0)
        return 97;
    return reap(pid);
}

static int read_from_popen(void)
{
    char command[4096], line[4096];
    snprintf(command, sizeof command, "%s look", self);
    FILE *child = popen(command, "r");
    while (fgets(line, sizeof line, child) != NULL)
        fputs(line, stdout);
    return pclose(child);
}

static int execute_on_own_stack(void *unused)
{
    (void)unused;
    by_execve();
    _exit(96);
}

static int clone_like_vfork(void)
{
    static char stack[64 * 1024] __attribute__((aligned(64)));
    return reap(
        clone(execute_on_own_stack, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

static int execute_child(const char *how)
{
    char command[4096];
    if (strcmp(how, "system") == 0) {
        snprintf(command, sizeof command, "%s look", self);
        return system(command);
    }
    if (strcmp(how, "popen") == 0)
        return read_from_popen();
    if (strcmp(how, "spawn") == 0)
        return spawn_with(0);
    if (strcmp(how, "spawn-default-signals") == 0)
        return spawn_with(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (strcmp(how, "spawn-session") == 0)
        return spawn_with(POSIX_SPAWN_SETSID);
    if (strcmp(how, "clone") == 0)
        return clone_like_vfork();
    const char *dash = strchr(how, '-');
    size_t which = 0;
    while (dash != NULL && which < sizeof executions / sizeof executions[0] &&
           strcmp(executions[which].name, dash + 1) != 0)
        which++;
    if (dash == NULL || which == sizeof executions / sizeof executions[0])
        return 64;
    pid_t pid = strncmp(how, "vfork", 5) == 0 ? vfork() : fork();
    if (pid == 0 && strncmp(how, "forkfork", 8) == 0 && fork() > 0) {
        wait(NULL);
        _exit(0);
    }
    if (pid == 0) {
        executions[which].execute();
        _exit(95);
    }
    return reap(pid);
}

/* ---- states ---------------------------------------------------------------------------------- */

static const char *how;
static int result;

static void handle(int signo)
{
    (void)signo;
}

static void execute_in_handler(int signo)
{
    (void)signo;
    result = execute_child(how);
}

static void set_dispositions(void)
{
    sigset_t blocked;
    signal(SIGTERM, handle);
    signal(SIGQUIT, handle);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

int main(int argc, char **argv)
{
    self = realpath("/proc/self/exe", NULL);
    look[0] = self;
    if (argc == 2 && strcmp(argv[1], "look") == 0)
        return look_around();
    if (argc != 3)
        return 64;
    how = argv[1];
    setvbuf(stdout, NULL, _IONBF, 0);
    if (strcmp(argv[2], "handles") == 0)
        set_dispositions();
    if (strcmp(argv[2], "daemon") == 0) {
        if (fork() > 0)
            exit(0);
        setsid();
    }
    if (strcmp(argv[2], "stopping") == 0) {
        signal(SIGTERM, execute_in_handler);
        raise(SIGTERM);
        return result;
    }
    return execute_child(how);
}
