#include "ended.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/pidfd.h, which Debian 12's headers do not have yet. */
struct pidfd_info {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_INFO_EXIT (UINT64_C(1) << 3)
#define PIDFD_GET_INFO  _IOWR(0xFF, 11, struct pidfd_info)

/* Between looks at a zombie whose parent takes its time. */
#define LOOK_EVERY_MS 20

static bool ask_pidfd(int pidfd, int *status)
{
    struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};
    if (ioctl(pidfd, PIDFD_GET_INFO, &info) != 0 || !(info.mask & PIDFD_INFO_EXIT))
        return false;
    *status = info.exit_code;
    return true;
}

/* Whether the process is still there, as a zombie: then its number cannot be another one's. */
static bool is_unreaped(int pidfd)
{
    return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
}

static bool read_stat(int pidfd, int pid, int *status)
{
    char path[32], text[2048];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0 || !is_unreaped(pidfd))
        return false;
    text[length] = '\0';
    char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] != 'Z')
        return false;
    for (int field = 2; at != NULL && field < 52; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    *status = atoi(at + 1);
    return true;
}

/* Whether stat shows us an exit status: to others it shows 0. */
static bool may_know(int pid)
{
    char path[32];
    struct stat about;
    snprintf(path, sizeof path, "/proc/%d", pid);
    return stat(path, &about) == 0 && about.st_uid == geteuid() && about.st_gid == getegid();
}

bool grace_ended_status(int pidfd, int pid, int patience_ms, int *status)
{
    for (int waited = 0;; waited += LOOK_EVERY_MS) {
        /* A status of 0 in stat may also mean that we may not know: wait for the better answer. */
        if (ask_pidfd(pidfd, status) ||
            (read_stat(pidfd, pid, status) && (*status != 0 || may_know(pid))))
            return true;
        if (waited >= patience_ms)
            return read_stat(pidfd, pid, status);
        struct pollfd reaped = {.fd = pidfd, .events = POLLHUP};
        poll(&reaped, 0, LOOK_EVERY_MS);
    }
}
