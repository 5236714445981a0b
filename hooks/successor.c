#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel.h"
#include "text.h"

#define WAIT_MS 100

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

/* A child that was just forked may not have run yet: wait until all have written themselves down,
 * or WAIT_MS have passed (one died before it could, or fork failed). */
static void await(struct grace_ledger *ledger)
{
    uint64_t limit = grace_kernel_now_ms() + WAIT_MS;
    for (;;) {
        uint32_t written = atomic_load(&ledger->forks);
        uint64_t now = grace_kernel_now_ms();
        if ((int32_t)(atomic_load(&ledger->forked) - written) <= 0 || now >= limit)
            return;
        grace_ledger_wait(&ledger->forks, written, (int64_t)(limit - now));
    }
}

void grace_successor_add(struct grace_ledger *ledger, int pid, uint32_t order)
{
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

/* Sequentially consistent: whoever does not find the entry any more sees `next`, which was written
 * before it was taken. */
static bool strike_out(struct grace_ledger *ledger, int slot, uint64_t entry)
{
    return entry != 0 && atomic_compare_exchange_strong(&ledger->children[slot], &entry, 0);
}

bool grace_successor_remove(struct grace_ledger *ledger, int pid)
{
    bool removed = false;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t seen = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        if (pid_of(seen) == pid)
            removed = strike_out(ledger, i, seen) || removed;
    }
    return removed;
}

void grace_successor_settle(struct grace_ledger *ledger, int pid)
{
    uint64_t limit = grace_kernel_now_ms() + WAIT_MS;
    while (atomic_load(&ledger->next) == pid && atomic_load(&ledger->owner) != pid &&
           grace_kernel_now_ms() < limit)
        grace_kernel(SYS_sched_yield);
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

/* Whether the flags in a line of /proc/PID/stat, read from the end of the name on, say that the
 * process is on its way out: its descriptors are closed before it is a zombie, and who waits for
 * that finds it like this. */
static bool is_exiting(const char *at)
{
    const uint64_t exiting = 4; /* PF_EXITING of include/linux/sched.h */
    for (int field = 2; field < 9 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    uint64_t flags = 0;
    for (at += at != NULL; at != NULL && *at >= '0' && *at <= '9'; at++)
        flags = flags * 10 + (uint64_t)(*at - '0');
    return (flags & exiting) != 0;
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
    return end != NULL && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X' && !is_exiting(end);
}

static bool is_fit(int pid, const struct grace_executable *executable)
{
    struct grace_executable its;
    return grace_process_runs(pid) &&
           (executable == NULL || !grace_executable_of(pid, &its) ||
            (its.device == executable->device && its.inode == executable->inode));
}

/* The slot of the one that was forked last, with its entry; -1: there is none. */
static int find_last(const struct grace_ledger *ledger, int leaving,
                     const struct grace_executable *executable, uint64_t *best)
{
    int slot = -1;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t entry = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        int pid = pid_of(entry);
        if (pid > 0 && pid != leaving && (slot < 0 || order_of(entry) > order_of(*best)) &&
            is_fit(pid, executable)) {
            *best = entry;
            slot = i;
        }
    }
    return slot;
}

/* `next` names it already. */
static bool change_owner(struct grace_ledger *ledger, int leaving, int pid)
{
    int32_t owner = leaving;
    bool changed = atomic_compare_exchange_strong(&ledger->owner, &owner, pid);
    atomic_store(&ledger->next, 0);
    return changed;
}

int grace_successor_appoint(struct grace_ledger *ledger, int leaving,
                            const struct grace_executable *executable)
{
    for (;;) {
        uint64_t entry = 0;
        uint32_t forked = atomic_load(&ledger->forked);
        await(ledger);
        int slot = find_last(ledger, leaving, executable, &entry);
        if (slot < 0 && atomic_load(&ledger->forked) == forked)
            return 0;
        if (slot < 0)
            continue; /* the last one left, and left a child of its own */
        atomic_store(&ledger->next, pid_of(entry));
        if (strike_out(ledger, slot, entry))
            return change_owner(ledger, leaving, pid_of(entry)) ? pid_of(entry) : 0;
        atomic_store(&ledger->next, 0); /* it has left in between */
    }
}

bool grace_successor_appoint_pid(struct grace_ledger *ledger, int leaving, int pid)
{
    atomic_store(&ledger->next, pid);
    grace_successor_remove(ledger, pid);
    return change_owner(ledger, leaving, pid);
}

int grace_successor_in_file(const char *path)
{
    int pid = path == NULL ? 0 : grace_pidfile_read(path);
    return pid > 0 && grace_process_runs(pid) ? pid : 0;
}
