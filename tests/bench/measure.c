/* Time, processes and files for the benchmarks. */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "programs/stamp.h"

extern char **environ;

static char *path_in(const char *folder, const char *format, va_list arguments)
{
    char name[128], *path;
    vsnprintf(name, sizeof name, format, arguments);
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    return path;
}

char *built(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *path = path_in(bench.build, format, arguments);
    va_end(arguments);
    return path;
}

char *scratch(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *path = path_in(bench.directory, format, arguments);
    va_end(arguments);
    return path;
}

double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static char *variable(const char *name, const char *value)
{
    char *text;
    if (asprintf(&text, "%s=%s", name, value) < 0)
        abort();
    return text;
}

pid_t start(const struct way *way, const char *const *argv, int out)
{
    char *set[4] = {variable("PATH", "/usr/local/bin:/usr/bin:/bin")}, *command[16];
    size_t sets = 1, words = 0;
    if (way->preload != NULL)
        set[sets++] = variable("LD_PRELOAD", way->preload);
    if (way->config != NULL)
        set[sets++] = variable("GRACE_CONFIG", way->config);
    char *environment[] = {set[0], variable(STAMPS_VARIABLE, scratch("stamps")), set[1],
                           sets > 2 ? set[2] : NULL, NULL};
    for (size_t i = 0; way->before != NULL && way->before[i] != NULL; i++)
        command[words++] = (char *)(uintptr_t)way->before[i];
    for (size_t i = 0; argv[i] != NULL && words < 15; i++)
        command[words++] = (char *)(uintptr_t)argv[i];
    command[words] = NULL;
    if (words == 0)
        abort();

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    /* tini warns each time that it is not PID 1. */
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int error = posix_spawnp(&pid, command[0], &actions, NULL, command, environment);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < sets; i++)
        free(set[i]);
    if (error != 0) {
        fprintf(stderr, "bench: %s: %s\n", command[0], strerror(error));
        exit(0);
    }
    return pid;
}

int await(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static char state_of(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    const char *end = length > 0 ? strrchr(line, ')') : NULL;
    return end != NULL && end[1] == ' ' ? end[2] : 'X';
}

pid_t start_ready(const struct way *way, const char *const *argv)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    pid_t pid = start(way, argv, ends[1]);
    close(ends[1]);
    ssize_t got = read(ends[0], &byte, 1);
    close(ends[0]);
    double limit = now_us() + 5e6;
    for (char state; got == 1 && (state = state_of(pid)) != 'S' && now_us() < limit;)
        if (state == 'Z' || state == 'X')
            break;
    return pid;
}

const char *write_config(const char *name, int count, const char *hook_format)
{
    char *path = scratch("%s", name);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        abort();
    fputs("log = { level = \"error\"; };\ndeadline = \"10m\";\nhooks = (\n", file);
    for (int i = 0; i < count; i++) {
        fprintf(file, "%s{ name = \"h%d\"; ", i == 0 ? "" : ",\n", i);
        fputs(hook_format, file);
        fputs(" }", file);
    }
    fputs("\n);\n", file);
    fclose(file);
    return path;
}

volatile struct stamps *shared_stamps(void)
{
    static volatile struct stamps *stamps;
    const char *path = scratch("stamps");
    if (stamps == NULL) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(struct stamps)) != 0)
            abort();
        close(fd);
        stamps = stamps_map(path);
    }
    if (stamps == NULL)
        abort();
    stamps->count = 0;
    stamps->first_ns = stamps->last_ns = 0;
    return stamps;
}
