/*
 * A program with children, which end in every way, and which look for what their parent has loaded.
 * The argument names how the child comes and goes; the parent waits for it and exits with its code.
 */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void say(const char *words)
{
    if (write(1, words, strlen(words)) < 0)
        _exit(99);
}

static void say_atexit(void)
{
    say("atexit\n");
}

static int wait_for(pid_t pid)
{
    int status;
    waitpid(pid, &status, 0);
    dprintf(1, "child: %#x\n", (unsigned)status);
    return 3;
}

static void handler(int signo)
{
    (void)signo;
    say("child's handler\n");
    _exit(5);
}

static int child_returns(void)
{
    return 4;
}

static int child_exits(void)
{
    exit(4);
}

static int child__exits(void)
{
    _exit(4);
}

static int child_quick_exits(void)
{
    quick_exit(4);
}

static int child_is_stopped(void)
{
    raise(SIGTERM);
    return 9;
}

static int child_handles(void)
{
    signal(SIGTERM, handler);
    raise(SIGTERM);
    return 9;
}

static int child_aborts(void)
{
    abort();
}

static int grandchild_exits(void)
{
    pid_t pid = fork();
    if (pid == 0)
        exit(6);
    return wait_for(pid);
}

static const struct child {
    const char *name;
    int (*live)(void);
} children[] = {
    {"return", child_returns},     {"exit", child_exits},
    {"_exit", child__exits},       {"quick_exit", child_quick_exits},
    {"stopped", child_is_stopped}, {"handles", child_handles},
    {"abort", child_aborts},       {"grandchild", grandchild_exits},
};

/* What an exec'd child sees of us: its environment and its mapped files. */
#define LOOK "env | sort; cat /proc/self/maps | grep -c libgrace"

static int exec_child(const char *how)
{
    char *const argv[] = {"sh", "-c", LOOK, NULL};
    pid_t pid = 0;
    if (strcmp(how, "system") == 0)
        return WEXITSTATUS(system(LOOK)) == 1 ? 3 : 9;
    if (strcmp(how, "popen") == 0) {
        char line[4096];
        FILE *child = popen(LOOK, "r");
        while (fgets(line, sizeof line, child) != NULL)
            say(line);
        return WEXITSTATUS(pclose(child)) == 1 ? 3 : 9;
    }
    if (strcmp(how, "spawn") == 0) {
        if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) != 0)
            return 99;
        return wait_for(pid);
    }
    pid = strcmp(how, "vfork") == 0 ? vfork() : fork();
    if (pid == 0) {
        execv("/bin/sh", argv);
        _exit(99);
    }
    return wait_for(pid);
}

int main(int argc, char **argv)
{
    const char *wanted = argc == 2 ? argv[1] : "";
    if (strncmp(wanted, "look-", 5) == 0)
        return exec_child(wanted + 5);
    atexit(say_atexit);
    for (size_t i = 0; i < sizeof children / sizeof children[0]; i++) {
        if (strcmp(children[i].name, wanted) != 0)
            continue;
        pid_t pid = fork();
        if (pid == 0)
            return children[i].live();
        return wait_for(pid);
    }
    return 64;
}
