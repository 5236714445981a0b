#include "leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether a process with this number does more than wait to be reaped. */
static int runs(int pid)
{
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' && strchr("ZX", name_end[2]) == NULL;
}

/* The number that a pid file begins with; 0: it is empty, -1: it begins with something else. */
static long read_pid(int fd)
{
    char text[64], *end;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length <= 0)
        return length;
    text[length] = '\0';
    if (strspn(text, " \t\n") == (size_t)length)
        return 0;
    errno = 0;
    long pid = strtol(text, &end, 10);
    return errno == 0 && pid > 0 && strchr(" \t\n", *end) != NULL ? pid : -1;
}

enum grace_verdict grace_pidfile_judge(struct grace_leftover *leftover,
                                       const struct grace_stop *stop)
{
    long pid = read_pid(leftover->fd);
    if (pid < 0) {
        grace_error_set(&leftover->why, "%s is no pid file: it does not begin with a number",
                        leftover->path);
        return GRACE_VERDICT_UNCLEAR;
    }
    if (pid == 0) {
        grace_error_set(&leftover->why,
                        "%s kept: it is empty, so somebody may be about to write it",
                        leftover->path);
        return GRACE_VERDICT_KEEP;
    }
    if (pid != stop->pid) {
        grace_error_set(&leftover->why, "%s kept: it names process %ld, not %d", leftover->path,
                        pid, (int)stop->pid);
        return GRACE_VERDICT_KEEP;
    }
    /* After a reboot the same number may well be the next instance's. */
    if (stop->gone && runs(stop->pid)) {
        grace_error_set(&leftover->why, "%s kept: process %ld is another one by now",
                        leftover->path, pid);
        return GRACE_VERDICT_KEEP;
    }
    return GRACE_VERDICT_OURS;
}
