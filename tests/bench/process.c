/* Processes for the benchmarks: started in one of several ways, waited for, looked at. */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "programs/stamp.h"

#define PATIENCE_US 20e6 /* what does not come by then does not come */

const struct way bare;

static double begun;

double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

void pause_us(double time)
{
    for (double end = now_us() + time, left; (left = end - now_us()) > 0;)
        usleep((useconds_t)(left < 1e6 ? left : 999999));
}

/* ---- starting ---------------------------------------------------------------------------------
 */

/* A command line that is being put together. */
struct line {
    char *word[32];
    size_t count;
};

static void add_words(struct line *line, const char *const *more)
{
    for (; more != NULL && *more != NULL && line->count < COUNT_OF(line->word) - 1; more++)
        line->word[line->count++] = (char *)(uintptr_t)*more;
}

static char **environment_for(const struct way *way, char *variables[5])
{
    size_t count = 0;
    variables[count++] = words("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    variables[count++] = words(STAMPS_VARIABLE "=%s", scratch("stamps"));
    if (way->preload != NULL)
        variables[count++] = words("LD_PRELOAD=%s", way->preload);
    if (way->config != NULL)
        variables[count++] = words("GRACE_CONFIG=%s", way->config);
    variables[count] = NULL;
    return variables;
}

/* Whoever changes the user is not to have the preload: env hands it to the program itself. */
static void become(struct line *line, const struct way *way)
{
    if (way->user == NULL || geteuid() != 0)
        return;
    const char *const change[] = {"setpriv",
                                  "--reuid",
                                  way->user,
                                  "--regid",
                                  way->user,
                                  "--clear-groups",
                                  "/usr/bin/env",
                                  way->preload != NULL ? words("LD_PRELOAD=%s", way->preload)
                                                       : NULL,
                                  NULL};
    add_words(line, change);
}

pid_t start(const struct way *way, const char *const *argv, int out)
{
    char *variables[5];
    struct way started = *way;
    struct line line = {.count = 0};
    become(&line, way);
    if (line.count > 0)
        started.preload = NULL;
    add_words(&line, way->before);
    add_words(&line, argv);
    if (line.count == 0)
        return -1;

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t pid = -1;
    char **environment = environment_for(&started, variables);
    begun = now_us();
    if (posix_spawnp(&pid, line.word[0], &actions, NULL, line.word, environment) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; variables[i] != NULL; i++)
        free(variables[i]);
    return pid;
}

double started_us(void)
{
    return begun;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

int await(pid_t pid, struct rusage *usage)
{
    int status = -1;
    while (pid > 0 && wait4(pid, &status, 0, usage) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

void await_quiet(void)
{
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
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

static bool falls_asleep(pid_t pid)
{
    for (double limit = now_us() + PATIENCE_US; now_us() < limit;) {
        char state = state_of(pid);
        if (state == 'S')
            return true;
        if (state == 'Z' || state == 'X')
            return false;
    }
    return false;
}

pid_t start_ready(const struct way *way, const char *const *argv, bool sleeps)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    pid_t pid = start(way, argv, ends[1]);
    close(ends[1]);
    bool ready = pid > 0 && read(ends[0], &byte, 1) == 1 && (!sleeps || falls_asleep(pid));
    close(ends[0]);
    if (ready || pid < 0)
        return pid;
    kill(pid, SIGKILL);
    await(pid, NULL);
    return -1;
}

int output_of(const struct way *way, const char *const *argv, char *output, size_t size)
{
    int ends[2];
    size_t length = 0;
    char rest[4096];
    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    pid_t pid = start(way, argv, ends[1]);
    close(ends[1]);
    for (ssize_t got; pid > 0 && length < size - 1 &&
                      (got = read(ends[0], output + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    while (pid > 0 && read(ends[0], rest, sizeof rest) > 0)
        continue;
    close(ends[0]);
    output[length] = '\0';
    return await(pid, NULL);
}

/* ---- files that they share --------------------------------------------------------------------
 */

const char *write_config(const char *name, const char *settings, int count, const char *hook)
{
    char *path = scratch("%s", name);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        abort();
    fprintf(file, "log = { level = \"error\"; };\ndeadline = \"10m\";\n%s\nhooks = (\n", settings);
    for (int i = 0; i < count; i++)
        fprintf(file, "%s{ name = \"h%d\"; %s }", i == 0 ? "" : ",\n", i, hook);
    fputs("\n);\n", file);
    fclose(file);
    return path;
}

const char *three_hooks(bool guardian)
{
    return write_config(guardian ? "three.conf" : "off.conf", guardian ? "" : "guardian = \"off\";",
                        3, "command = [\"/bin/true\"]; causes = [\"signal\", \"killed\"];");
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
