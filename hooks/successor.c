#include "successor.h"

#include <fcntl.h>
#include <linux/futex.h>

#include "kernel.h"
#include "process.h"
#include "room.h"

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
    atomic_fetch_add(&ledger->awaited, 1);
    for (;;) {
        uint32_t written = atomic_load(&ledger->forks);
        uint64_t now = grace_kernel_now_ms();
        if ((int32_t)(atomic_load(&ledger->forked) - written) <= 0 || now >= limit)
            break;
        grace_ledger_wait(&ledger->forks, written, (int64_t)(limit - now));
    }
    atomic_fetch_sub(&ledger->awaited, 1);
}

/* Sequentially consistent: whoever does not find the entry any more sees `next`, which was written
 * before it was taken. */
GRACE_IN_CHILDREN static bool strike_out(struct grace_ledger *ledger, int slot, uint64_t entry)
{
    return entry != 0 && atomic_compare_exchange_strong(&ledger->children[slot], &entry, 0);
}

GRACE_IN_CHILDREN bool grace_successor_remove(struct grace_ledger *ledger, int pid)
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

/* ---- ranks ----------------------------------------------------------------------------------- */

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

/* ---- writing down ---------------------------------------------------------------------------- */

GRACE_IN_CHILDREN static int find_free(struct grace_ledger *ledger, uint64_t mine)
{
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        uint64_t seen = atomic_load_explicit(&ledger->children[i], memory_order_relaxed);
        if (seen == 0 && atomic_compare_exchange_strong(&ledger->children[i], &seen, mine))
            return i;
    }
    return -1;
}

/* All are taken, by the living or by those that died without a word: that of the one which would
 * take over last, unless the new one would come even after that. So however many workers there
 * are, the daemon that they are of stays; and of equals the youngest do. */
static int find_last(struct grace_ledger *ledger, const struct candidate *mine)
{
    struct candidate last = *mine;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++) {
        struct candidate other;
        if (!read_candidate(ledger, i, &other))
            return i;
        if (goes_before(&last, &other))
            last = other;
    }
    return last.slot;
}

/* The slot is the caller's until an entry with a pid is stored. */
GRACE_IN_CHILDREN static int claim_slot(struct grace_ledger *ledger,
                                        const struct grace_lineage *lineage)
{
    uint32_t order = lineage->orders[lineage->depth - 1], depth = atomic_load(&ledger->depth);
    uint64_t mine = (uint64_t)order << 32;
    int slot = find_free(ledger, mine);
    if (slot >= 0)
        return slot;
    slot = find_last(ledger, &(struct candidate){
                                 .slot = -1,
                                 .entry = mine,
                                 .generation = lineage->depth,
                                 .branch = depth < lineage->depth ? lineage->orders[depth] : order,
                             });
    if (slot >= 0)
        atomic_store(&ledger->children[slot], mine);
    return slot;
}

GRACE_IN_CHILDREN void grace_successor_add(struct grace_ledger *ledger, int pid,
                                           const struct grace_lineage *lineage)
{
    int slot = claim_slot(ledger, lineage);
    if (slot >= 0) {
        uint32_t order = lineage->orders[lineage->depth - 1];
        for (uint32_t i = 0; i < GRACE_LEDGER_LINEAGE; i++)
            atomic_store_explicit(&ledger->lineage[slot][i],
                                  i < lineage->depth ? lineage->orders[i] : 0,
                                  memory_order_relaxed);
        atomic_store_explicit(&ledger->written[slot], grace_process_clock(), memory_order_relaxed);
        atomic_store(&ledger->children[slot], (uint64_t)order << 32 | (uint32_t)pid);
    }
}

GRACE_IN_CHILDREN void grace_successor_begin(struct grace_ledger *ledger, int pid,
                                             const struct grace_lineage *lineage)
{
    grace_successor_add(ledger, pid, lineage);
    /* Who waits has said so before he looks at the number: no call is made for nobody. */
    atomic_fetch_add(&ledger->forks, 1);
    if (atomic_load(&ledger->awaited) != 0)
        grace_kernel(SYS_futex, &ledger->forks, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* ---- who takes over -------------------------------------------------------------------------- */

/* Whether the process that wrote the entry runs: one that began later has only its number. */
static bool runs(const struct grace_ledger *ledger, const struct candidate *candidate)
{
    uint64_t born = grace_process_born(pid_of(candidate->entry));
    return born != 0 &&
           (born == GRACE_PROCESS_HIDDEN || born <= atomic_load(&ledger->written[candidate->slot]));
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
        if (pid == leaving || !runs(ledger, &candidate) || !fits(pid, context))
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

bool grace_successor_is_followed(const struct grace_ledger *ledger, int pid)
{
    int watched = atomic_load(&ledger->watched);
    return watched == pid || (watched > 0 && watched == atomic_load(&ledger->owner));
}

int grace_successor_in_file(const char *path, uint64_t since)
{
    int pid = path == NULL ? 0 : grace_pidfile_read(path);
    return pid > 0 && grace_process_born(pid) > 0 && grace_process_born(pid) >= since ? pid : 0;
}
