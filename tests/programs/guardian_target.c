/*
 * Does what its arguments say, one after the other: first whatever makes it hard to look after,
 * then "wait", or an ending. ARGUMENT or ARGUMENT:VALUE.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char **rest; /* the arguments behind the one that is being done */

static void need(int done, const char *what)
{
    if (done)
        return;
    dprintf(2, "guardian_target: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void say(const char *value)
{
    dprintf(1, "%s\n", value);
}

/* A file of this name appears in the working directory, wherever the root is by now. */
static void mark(const char *value)
{
    int fd = open(value, O_CREAT | O_WRONLY, 0666);
    need(fd >= 0 && close(fd) == 0, value);
}

/* ---- hard to look after ---------------------------------------------------------------------- */

static void close_all(const char *value)
{
    (void)value;
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
}

static void close_one(const char *value)
{
    need(close(atoi(value)) == 0, "close");
}

static void become_nobody(const char *value)
{
    (void)value;
    need(setgid(65534) == 0 && setuid(65534) == 0, "setuid");
}

static void change_root(const char *value)
{
    need(chroot(value) == 0, "chroot");
}

static void leave_namespaces(const char *value)
{
    (void)value;
    need(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) == 0, "unshare");
}

static void execute_itself(const char *value)
{
    static char *argv[64] = {"guardian_target"};
    for (int i = 0; rest[i] != NULL; i++)
        argv[i + 1] = rest[i];
    if (*value != '\0')
        setenv("GRACE_CONFIG", value, 1);
    execv("/proc/self/exe", argv);
    need(0, "exec");
}

static void limit_memory(const char *value)
{
    const struct rlimit limit = {(rlim_t)atol(value) << 20, (rlim_t)atol(value) << 20};
    need(setrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
}

static void allow_core(const char *value)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    (void)value;
    need(setrlimit(RLIMIT_CORE, &unlimited) == 0, "RLIMIT_CORE");
}

/* ---- handlers -------------------------------------------------------------------------------- */

static volatile sig_atomic_t children_gone;

static void count_child(int signo)
{
    (void)signo;
    children_gone++;
}

static void note_nothing(int signo)
{
    (void)signo;
}

static void exit_7(int signo)
{
    (void)signo;
    exit(7);
}

_Noreturn static void spin_deaf(int signo)
{
    sigset_t all;
    (void)signo;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    mark("spins");
    for (volatile unsigned long i = 0;; i++)
        ;
}

static void spin_deaf_atexit(void)
{
    spin_deaf(0);
}

static void on_term(const char *value)
{
    signal(SIGTERM, strcmp(value, "exit") == 0   ? exit_7
                    : strcmp(value, "spin") == 0 ? spin_deaf
                                                 : note_nothing);
}

static void at_exit_spin(const char *value)
{
    (void)value;
    atexit(spin_deaf_atexit);
}

/* ---- what it sees ---------------------------------------------------------------------------- */

static void count_children(const char *value)
{
    (void)value;
    signal(SIGCHLD, count_child);
}

static int descriptors(void)
{
    int count = -1; /* the folder's own */
    DIR *folder = opendir("/proc/self/fd");
    need(folder != NULL, "/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static int threads_and_children(char *children, size_t size)
{
    int threads = 0;
    DIR *folder = opendir("/proc/self/task");
    need(folder != NULL, "/proc/self/task");
    children[0] = '\0';
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300];
        if (entry->d_name[0] == '.')
            continue;
        threads++;
        snprintf(path, sizeof path, "/proc/self/task/%s/children", entry->d_name);
        int fd = open(path, O_RDONLY);
        size_t length = strlen(children);
        ssize_t got = read(fd, children + length, size - length - 1);
        children[length + (size_t)(got > 0 ? got : 0)] = '\0';
        close(fd);
    }
    closedir(folder);
    return threads;
}

static void look_around(const char *value)
{
    char children[4096];
    (void)value;
    int found = waitpid(-1, NULL, __WALL), why = errno;
    int threads = threads_and_children(children, sizeof children);
    dprintf(1, "wait %d %s, sigchld %d, descriptors %d, threads %d, children '%s'\n", found,
            strerrorname_np(why), (int)children_gone, descriptors(), threads, children);
}

/* ---- endings --------------------------------------------------------------------------------- */

static void wait_for_signals(const char *value)
{
    (void)value;
    for (;;)
        pause();
}

static void by_exit(const char *value)
{
    exit(atoi(value));
}

static void by__exit(const char *value)
{
    _exit(atoi(value));
}

static void by_quick_exit(const char *value)
{
    quick_exit(atoi(value));
}

static void by_exit_group(const char *value)
{
    syscall(SYS_exit_group, atoi(value));
}

static void by_abort(const char *value)
{
    (void)value;
    abort();
}

static void by_bad_pointer(const char *value)
{
    (void)value;
    *(volatile int *)16 = 1;
}

/* A signal whose default action is fatal, from itself. */
static void by_kill(const char *value)
{
    kill(getpid(), atoi(value));
    for (;;)
        pause();
}

static void by_cpu_limit(const char *value)
{
    const struct rlimit limit = {1, 3};
    (void)value;
    need(setrlimit(RLIMIT_CPU, &limit) == 0, "RLIMIT_CPU");
    for (volatile unsigned long i = 0;; i++)
        ;
}

static void by_allocation(const char *value)
{
    for (;;) {
        char *more = malloc(1 << 20);
        if (more == NULL)
            abort();
        memset(more, *value, 1 << 20);
    }
}

/* ---------------------------------------------------------------------------------------------- */

static const struct action {
    const char *name;
    void (*act)(const char *value);
} actions[] = {
    {"say", say},
    {"mark", mark},
    {"close-all", close_all},
    {"close", close_one},
    {"nobody", become_nobody},
    {"chroot", change_root},
    {"unshare", leave_namespaces},
    {"exec", execute_itself},
    {"limit-memory", limit_memory},
    {"core", allow_core},
    {"on-term", on_term},
    {"atexit-spin", at_exit_spin},
    {"count-children", count_children},
    {"look", look_around},
    {"wait", wait_for_signals},
    {"exit", by_exit},
    {"_exit", by__exit},
    {"quick_exit", by_quick_exit},
    {"exit_group", by_exit_group},
    {"abort", by_abort},
    {"bad-pointer", by_bad_pointer},
    {"kill", by_kill},
    {"cpu-limit", by_cpu_limit},
    {"allocate", by_allocation},
};

int main(int argc, char **argv)
{
    (void)argc;
    for (char **word = argv + 1; *word != NULL; word++) {
        size_t length = strcspn(*word, ":"), i = 0;
        const char *value = (*word)[length] == ':' ? *word + length + 1 : "";
        rest = word + 1;
        if (strncmp(*word, "return", length) == 0)
            return atoi(value);
        while (i < sizeof actions / sizeof actions[0] &&
               (strlen(actions[i].name) != length || strncmp(actions[i].name, *word, length) != 0))
            i++;
        need(i < sizeof actions / sizeof actions[0], *word);
        actions[i].act(value);
    }
    return 0;
}
