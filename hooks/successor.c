#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel.h"
#include "text.h"

#define WAIT_MS    100
#define MOST_TRIES 20

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

/* A free slot, or that of the oldest, when all are taken by the living or by those that died
 * without a word. It is the caller's until an entry with a pid is stored. */
static int claim_slot(struct grace_ledger *ledger, uint32_t order)
{
    uint64_t mine = (uint64_t)order << 32;
    int oldest = 0;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t seen = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        if (seen == 0 && atomic_compare_exchange_strong(&ledger->children[i], &seen, mine))
            return i;
        if (order_of(seen) <
            order_of(atomic_load_explicit(&ledger->children[oldest], memory_order_relaxed)))
            oldest = i;
    }
    atomic_store(&ledger->children[oldest], mine);
    return oldest;
}

void grace_successor_add(struct grace_ledger *ledger, int pid, const struct grace_lineage *lineage)
{
    uint32_t order = lineage->orders[lineage->depth - 1];
    int slot = claim_slot(ledger, order);
    for (uint32_t i = 0; i < GRACE_LEDGER_LINEAGE; i++)
        atomic_store_explicit(&ledger->lineage[slot][i],
                              i < lineage->depth ? lineage->orders[i] : 0, memory_order_relaxed);
    atomic_store(&ledger->children[slot], (uint64_t)order << 32 | (uint32_t)pid);
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
    char text[32] = "";
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
    struct statx about = {.stx_ino = 0};
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

/* ---- choosing ------------------------------------------------------------------------------- */

struct candidate {
    int slot;
    uint64_t entry;
    uint32_t branch, generation;
};

/* Whether a slot holds a descendant of the owner's. Numbers in the ledger may be anything. */
static bool read_candidate(const struct grace_ledger *ledger, int slot, struct candidate *candidate)
{
    const _Atomic uint32_t *lineage = ledger->lineage[slot];
    uint32_t depth = atomic_load(&ledger->depth), generation = 0;
    candidate->slot = slot;
    candidate->entry = atomic_load(&ledger->children[slot]);
    while (generation < GRACE_LEDGER_LINEAGE && atomic_load(&lineage[generation]) != 0)
        generation++;
    candidate->generation = generation;
    candidate->branch =
        depth < GRACE_LEDGER_LINEAGE ? atomic_load(&lineage[depth]) : order_of(candidate->entry);
    bool descends = depth == 0 || depth > GRACE_LEDGER_LINEAGE - 1 ||
                    atomic_load(&lineage[depth - 1]) == atomic_load(&ledger->order);
    return pid_of(candidate->entry) > 0 && candidate->branch != 0 && descends;
}

static bool goes_before(const struct candidate *one, const struct candidate *other)
{
    if (one->branch != other->branch)
        return one->branch > other->branch;
    if (one->generation != other->generation)
        return one->generation < other->generation;
    return order_of(one->entry) > order_of(other->entry);
}

static bool find_best(const struct grace_ledger *ledger, int leaving, grace_successor_fits *fits,
                      const void *context, struct candidate *best)
{
    bool found = false;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        struct candidate candidate;
        if (!read_candidate(ledger, i, &candidate) || (found && !goes_before(&candidate, best)))
            continue;
        int pid = pid_of(candidate.entry);
        if (pid == leaving || !grace_process_runs(pid) || !fits(pid, context))
            continue;
        *best = candidate;
        found = true;
    }
    return found;
}

/* ---- the change ------------------------------------------------------------------------------ */

/* `next` names it already. */
static bool change_owner(struct grace_ledger *ledger, int leaving, int pid)
{
    int32_t owner = leaving;
    bool changed = atomic_compare_exchange_strong(&ledger->owner, &owner, pid);
    atomic_store(&ledger->next, 0);
    return changed;
}

/* Take it out of the list and make it the owner. False: it has left in between. */
static bool take(struct grace_ledger *ledger, int leaving, const struct candidate *candidate,
                 bool *changed)
{
    atomic_store(&ledger->next, pid_of(candidate->entry));
    if (!strike_out(ledger, candidate->slot, candidate->entry)) {
        atomic_store(&ledger->next, 0);
        return false;
    }
    atomic_store(&ledger->depth, candidate->generation);
    atomic_store(&ledger->order, order_of(candidate->entry));
    *changed = change_owner(ledger, leaving, pid_of(candidate->entry));
    return true;
}

int grace_successor_appoint(struct grace_ledger *ledger, int leaving, grace_successor_fits *fits,
                            const void *context)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        struct candidate best = {.slot = -1};
        bool changed;
        uint32_t forked = atomic_load(&ledger->forked);
        await(ledger);
        if (!find_best(ledger, leaving, fits, context, &best)) {
            if (atomic_load(&ledger->forked) == forked)
                return 0;
            continue; /* the last one left, and left a child of its own */
        }
        if (take(ledger, leaving, &best, &changed))
            return changed ? pid_of(best.entry) : 0;
    }
    return 0;
}

/* The slot of a process in the list, or -1. */
static int find_slot(const struct grace_ledger *ledger, int pid)
{
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++)
        if (pid_of(atomic_load(&ledger->children[i])) == pid)
            return i;
    return -1;
}

bool grace_successor_is_child(const struct grace_ledger *ledger, int pid)
{
    return find_slot(ledger, pid) >= 0;
}

bool grace_successor_appoint_pid(struct grace_ledger *ledger, int leaving, int pid)
{
    struct candidate candidate;
    bool changed;
    int slot = find_slot(ledger, pid);
    if (slot >= 0) {
        read_candidate(ledger, slot, &candidate);
        if (pid_of(candidate.entry) == pid && take(ledger, leaving, &candidate, &changed))
            return changed;
    }
    atomic_store(&ledger->next, pid);
    return change_owner(ledger, leaving, pid);
}

int grace_successor_in_file(const char *path)
{
    int pid = path == NULL ? 0 : grace_pidfile_read(path);
    return pid > 0 && grace_process_runs(pid) ? pid : 0;
}
