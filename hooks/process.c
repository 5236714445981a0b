#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel.h"
#include "room.h"
#include "text.h"

/* What /proc counts in; the kernel tells programs so in AT_CLKTCK, on every architecture of ours.
 */
#define TICKS_PER_SECOND 100

/* Fields of /proc/PID/stat, counted as in proc(5). */
enum { FIELD_STATE = 3, FIELD_PARENT = 4, FIELD_FLAGS = 9, FIELD_THREADS = 20, FIELD_BORN = 22 };

static void proc_path(char *path, size_t size, int pid, const char *file)
{
    struct grace_text text;
    grace_text_start(&text, path, size);
    grace_text_format(&text, "/proc/%d/%s", pid, file);
}

bool grace_executable_of(int pid, struct grace_executable *executable)
{
    char path[64];
    struct statx about = {.stx_ino = 0};
    proc_path(path, sizeof path, pid, "exe");
    if (grace_kernel(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &about) < 0)
        return false;
    executable->device = (uint64_t)about.stx_dev_major << 32 | about.stx_dev_minor;
    executable->inode = about.stx_ino;
    return true;
}

bool grace_process_read(int pid, uintptr_t address, void *into, size_t size)
{
    char path[64];
    proc_path(path, sizeof path, pid, "mem");
    long memory = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        return false;
    long length = grace_kernel_pread(memory, into, size, address);
    grace_kernel(SYS_close, memory);
    return length == (long)size;
}

/* The number in a field, from the blank before the field with the number 3 on. */
static uint64_t field(const char *at, int which)
{
    uint64_t number = 0;
    for (int i = FIELD_STATE; i < which && at != NULL; i++)
        at = strchr(at + 1, ' ');
    for (at += at != NULL; at != NULL && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    return number;
}

/* From the end of the name on, as are the next two. A process that is on its way out has closed its
 * descriptors before it is a zombie, and who waits for that finds it like this. */
static bool leaves(const char *at)
{
    const uint64_t exiting = 4; /* PF_EXITING of include/linux/sched.h */
    return at[1] == 'Z' || at[1] == 'X' || (field(at, FIELD_FLAGS) & exiting) != 0;
}

/* Where the first thread only has ended, there are others. */
static uint64_t born_of(const char *at)
{
    bool dead = at[1] == 'X' || (leaves(at) && field(at, FIELD_THREADS) <= 1);
    return dead ? 0 : field(at, FIELD_BORN);
}

/* /proc/PID/stat from the end of the name on; NULL: there is none. The same as of the first thread,
 * since qemu-user shows a process another stat of its own than all others see. */
static const char *stat_of(int pid, char *stat, size_t size)
{
    char path[64];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/task/%d/stat", pid, pid);
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    long length = grace_kernel(SYS_read, fd, stat, size - 1);
    grace_kernel(SYS_close, fd);
    stat[length < 0 ? 0 : length] = '\0';
    const char *end = strrchr(stat, ')');
    return end != NULL && end[1] == ' ' ? end + 1 : "";
}

uint64_t grace_process_born(int pid)
{
    char stat[512];
    const char *at = stat_of(pid, stat, sizeof stat);
    if (at == NULL)
        return pid <= 0 || grace_kernel(SYS_kill, pid, 0) == -ESRCH ? 0 : GRACE_PROCESS_HIDDEN;
    return *at == '\0' ? 0 : born_of(at);
}

int grace_process_parent(int pid)
{
    char stat[512];
    const char *at = stat_of(pid, stat, sizeof stat);
    return at == NULL || *at == '\0' ? 0 : (int)field(at, FIELD_PARENT);
}

bool grace_process_leaves(int pid)
{
    char stat[512];
    const char *at = stat_of(pid, stat, sizeof stat);
    return at != NULL && *at != '\0' && leaves(at);
}

GRACE_IN_CHILDREN uint64_t grace_process_clock(void)
{
    struct timespec now = {.tv_sec = 0};
    grace_kernel(SYS_clock_gettime, CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * TICKS_PER_SECOND +
           (uint64_t)now.tv_nsec / (1000000000 / TICKS_PER_SECOND);
}

bool grace_process_runs(int pid)
{
    return grace_process_born(pid) != 0;
}

bool grace_process_is(int pid, uint64_t born)
{
    uint64_t its = grace_process_born(pid);
    return its != 0 && (its == born || born == 0 || its == GRACE_PROCESS_HIDDEN);
}
