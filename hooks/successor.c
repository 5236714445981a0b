#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel.h"
#include "text.h"

/* An entry: the order of forking in the high half, the pid in the low one. Relaxed everywhere: each
 * stands alone, and whoever reads it looks at the process itself before believing it. */

static int pid_of(uint64_t entry)
{
    return (int)(uint32_t)entry;
}

static uint32_t order_of(uint64_t entry)
{
    return (uint32_t)(entry >> 32);
}

void grace_successor_await(struct grace_ledger *ledger)
{
    uint64_t limit = grace_kernel_now_ms() + GRACE_SUCCESSOR_WAIT_MS;
    for (;;) {
        uint32_t written = atomic_load(&ledger->forks);
        uint64_t now = grace_kernel_now_ms();
        if ((int32_t)(atomic_load(&ledger->forked) - written) <= 0 || now >= limit)
            return;
        grace_ledger_wait(&ledger->forks, written, (int64_t)(limit - now));
    }
}

void grace_successor_add(struct grace_ledger *ledger, int pid)
{
    uint32_t order = atomic_load_explicit(&ledger->forks, memory_order_relaxed) + 1;
    uint64_t entry = (uint64_t)order << 32 | (uint32_t)pid;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t seen = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        if (seen == 0 &&
            atomic_compare_exchange_strong_explicit(&ledger->children[i], &seen, entry,
                                                    memory_order_relaxed, memory_order_relaxed))
            return;
    }
    /* All are taken, by the living or by those that died without a word: the oldest goes. */
    atomic_store_explicit(&ledger->children[order % GRACE_LEDGER_CHILDREN], entry,
                          memory_order_relaxed);
}

void grace_successor_remove(struct grace_ledger *ledger, int pid)
{
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t seen = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        if (seen != 0 && pid_of(seen) == pid)
            atomic_compare_exchange_strong_explicit(&ledger->children[i], &seen, 0,
                                                    memory_order_relaxed, memory_order_relaxed);
    }
}

int grace_pidfile_read(const char *path)
{
    char text[32];
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    long length = fd < 0 ? 0 : grace_kernel(SYS_read, fd, text, sizeof text);
    if (fd >= 0)
        grace_kernel(SYS_close, fd);
    long pid = 0, i = 0;
    while (i < length && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n'))
        i++;
    for (; i < length && text[i] >= '0' && text[i] <= '9' && pid < INT32_MAX / 10; i++)
        pid = pid * 10 + (text[i] - '0');
    return (int)pid;
}

static void proc_path(char *path, size_t size, int pid, const char *file)
{
    struct grace_text text;
    grace_text_start(&text, path, size);
    grace_text_format(&text, "/proc/%d/%s", pid, file);
}

bool grace_executable_of(int pid, struct grace_executable *executable)
{
    char path[64];
    struct statx about;
    proc_path(path, sizeof path, pid, "exe");
    if (grace_kernel(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &about) < 0)
        return false;
    executable->device = (uint64_t)about.stx_dev_major << 32 | about.stx_dev_minor;
    executable->inode = about.stx_ino;
    return true;
}

bool grace_process_runs(int pid)
{
    char path[64], stat[256];
    proc_path(path, sizeof path, pid, "stat");
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return grace_kernel(SYS_kill, pid, 0) != -ESRCH;
    long length = grace_kernel(SYS_read, fd, stat, sizeof stat - 1);
    grace_kernel(SYS_close, fd);
    stat[length < 0 ? 0 : length] = '\0';
    const char *end = strrchr(stat, ')');
    return end != NULL && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}

static bool is_fit(int pid, const struct grace_executable *executable)
{
    struct grace_executable its;
    return grace_process_runs(pid) &&
           (executable == NULL || !grace_executable_of(pid, &its) ||
            (its.device == executable->device && its.inode == executable->inode));
}

int grace_successor_find(const struct grace_ledger *ledger, int leaving,
                         const struct grace_executable *executable)
{
    uint64_t best = 0;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t entry = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        int pid = pid_of(entry);
        if (pid > 0 && pid != leaving && (best == 0 || order_of(entry) > order_of(best)) &&
            is_fit(pid, executable))
            best = entry;
    }
    return pid_of(best);
}
