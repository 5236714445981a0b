/*
 * eu-stack attaches to each thread, which stops it for that time. It gets a limit; a thread that it
 * was just stopping when it was killed would stay stopped, and is let go.
 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX (512 * 1024)

extern char **environ;

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int is_stopped(const struct grace_report *report)
{
    char line[1024];
    grace_report_read(report, "stat", line, sizeof line);
    const char *at = strrchr(line, ')');
    return at != NULL && (at[2] == 'T' || at[2] == 't');
}

static int start(int target, pid_t *pid, int *output)
{
    char number[16];
    char *const argv[] = {(char *)"eu-stack", (char *)"-p", number, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    snprintf(number, sizeof number, "%d", target);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    int result = posix_spawnp(pid, "eu-stack", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *output = ends[0];
    if (result != 0)
        close(ends[0]);
    return result;
}

/* Show what it says until it ends. False when it did not by then. */
static int show_output(struct grace_report *report, int output, int64_t until_ms)
{
    char text[4096];
    size_t total = 0;
    for (int64_t left; (left = until_ms - now_ms()) > 0;) {
        struct pollfd ready = {.fd = output, .events = POLLIN};
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        ssize_t length = read(output, text, sizeof text);
        if (length <= 0)
            return 1;
        total += (size_t)length;
        if (total <= OUTPUT_MAX)
            fwrite(text, 1, (size_t)length, report->out);
    }
    return 0;
}

void grace_report_stacks(struct grace_report *report, int64_t limit_ms)
{
    pid_t pid = 0;
    int output = -1, status, stopped = is_stopped(report);
    grace_report_section(report, "stacks of the threads in the program (eu-stack)");
    int result = limit_ms > 0 ? start(report->pid, &pid, &output) : ETIME;
    if (result != 0) {
        grace_report_line(report, "(%s)",
                          result == ENOENT ? "eu-stack is not installed: Debian's package elfutils"
                                           : strerror(result));
        return;
    }
    int cut = !show_output(report, output, now_ms() + limit_ms);
    if (cut) {
        kill(pid, SIGKILL);
        grace_report_line(report, "(not done after %lld ms)", (long long)limit_ms);
    }
    close(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    /* A stop that it had sent may be still to come: SIGCONT takes that back, too. */
    if (!stopped && (cut || is_stopped(report)))
        kill(report->pid, SIGCONT);
}
