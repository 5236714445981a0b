/*
 * Children of the owner's, forked without exec: any of them may be the daemon that goes on when the
 * owner exits. Each writes itself into the ledger as it begins, since it shares that memory, and
 * strikes itself out before an exec or at its end.
 *
 * The order of a fork comes to its child on the stack, in the frame of our wrapper: the parent
 * writes to no page of its own for it, since after a fork each first write to one has it copied.
 * Only where libc itself forks (daemon, forkpty) no wrapper of fork sees it, and handlers of
 * pthread_atfork do the same. The children of vfork, posix_spawn, system and popen are never told:
 * they share our memory, and exec.
 */
#include "shim.h"

#include <pthread.h>

#include "guardian.h"
#include "hooks/log.h"
#include "hooks/process.h"
#include "hooks/room.h"
#include "hooks/successor.h"
#include "raw.h"

/* How long a hand-over waits for the guardian to take note. */
#define FOLLOW_LIMIT_MS 500

/*
 * What a fork writes in the child is thread-local, of the main thread: that page the kernel writes
 * in each child, for its thread id, so it is copied anyway, and libc never frees it.
 */
static __thread struct {
    int32_t pid;                  /* of this process, when fork made it; 0: it did not */
    struct grace_lineage lineage; /* from the process that libgrace was loaded into */
} in_main_thread __attribute__((tls_model("initial-exec")));

static __typeof__(in_main_thread) *mine GRACE_SEEN_BY_CHILDREN(mine);

/* When libgrace was loaded: what this program started is not older. For a pid file only. */
static uint64_t loaded;

/* The calling thread is in a function of libc's that forks. */
static __thread struct {
    enum grace_forking call;
    uint32_t order;
    int32_t left_to; /* whom daemon() handed over to */
} in_libc __attribute__((tls_model("initial-exec")));

GRACE_IN_CHILDREN uint32_t grace_child_order(void)
{
    if (mine == NULL || in_libc.call != GRACE_FORK)
        return 0;
    return atomic_fetch_add_explicit(&grace_shim.ledger->forked, 1, memory_order_relaxed) + 1;
}

GRACE_IN_CHILDREN void grace_child_begins(uint32_t order)
{
    struct grace_lineage *lineage = &mine->lineage;
    mine->pid = grace_getpid();
    if (lineage->depth < GRACE_LEDGER_LINEAGE)
        lineage->depth++;
    lineage->orders[lineage->depth - 1] = order;
    grace_successor_begin(grace_shim.ledger, mine->pid, lineage);
}

/* A vfork's child has our memory, and its own pid. */
GRACE_IN_CHILDREN bool grace_child_leaves(void)
{
    int32_t self = grace_getpid();
    if (mine == NULL || mine->pid != self ||
        atomic_load_explicit(&grace_shim.ledger->owner, memory_order_acquire) == self)
        return false;
    if (grace_successor_remove(grace_shim.ledger, self))
        return true;
    grace_successor_settle(grace_shim.ledger, self);
    return false;
}

void grace_child_returns(void)
{
    grace_successor_add(grace_shim.ledger, grace_getpid(), &mine->lineage);
}

/* ---- the hand-over -------------------------------------------------------------------------- */

/* The same program still. */
static bool is_same_program(int pid, const void *own)
{
    const struct grace_executable *executable = own;
    struct grace_executable its;
    return !grace_executable_of(pid, &its) ||
           (its.device == executable->device && its.inode == executable->inode);
}

/* Each returns the new owner's pid, when `self` is the owner no longer. */

static int appoint_by_file(int32_t self)
{
    struct grace_ledger *ledger = grace_shim.ledger;
    int pid = grace_successor_in_file(grace_shim.plan->pidfile, loaded);
    if (pid == 0 || pid == self)
        return 0;
    /* What is not a child of ours can only be looked after from outside. */
    if (grace_guardian_pid() <= 0 && !grace_successor_is_child(ledger, pid))
        return 0;
    return grace_successor_appoint_pid(ledger, self, pid) ? pid : 0;
}

static int appoint_child(int32_t self)
{
    struct grace_executable own;
    if (!grace_executable_of(self, &own))
        return 0;
    return grace_successor_appoint(grace_shim.ledger, self, is_same_program, &own);
}

/* The guardian has the new owner in its hands before the old one is gone: from then on it cannot
 * miss its end. Where there is none, whoever finds the ledger's file has to know. */
static void tell_others(int pid)
{
    struct grace_ledger *ledger = grace_shim.ledger;
    if (grace_guardian_pid() <= 0) {
        if (grace_shim.ledger_path != NULL)
            grace_ledger_rename_owner_at(grace_shim.ledger_path, grace_getpid(), pid);
        return;
    }
    uint64_t limit = grace_now_ms() + FOLLOW_LIMIT_MS;
    grace_ledger_ring(&ledger->asked);
    for (;;) {
        uint32_t seen = atomic_load(&ledger->answered);
        uint64_t now = grace_now_ms();
        if (grace_successor_is_followed(ledger, pid) || now >= limit)
            return;
        grace_ledger_wait(&ledger->answered, seen, (int64_t)(limit - now));
    }
}

static void log_change(int from, int to, const char *why)
{
    grace_log(GRACE_LOG_INFO, "hand-over", "pid %d hands over to %d: %s", from, to, why);
}

int grace_owner_hands_over(bool to_any_child)
{
    int32_t self = grace_getpid();
    const char *why = "named by the pid file";
    if (!grace_shim.plan->daemonize || grace_shim.plan->hook_count == 0)
        return 0;
    int successor = appoint_by_file(self);
    if (successor == 0 && to_any_child) {
        why = "forked, no exec, alive";
        successor = appoint_child(self);
    }
    if (successor == 0)
        return 0;
    tell_others(successor);
    log_change(self, successor, why);
    return successor;
}

/* ---- where libc forks ------------------------------------------------------------------------ */

static void go_to_fork(void)
{
    enum grace_forking call = in_libc.call;
    if (call == GRACE_FORK)
        return;
    in_libc.call = GRACE_FORK;
    in_libc.order = grace_child_order();
    in_libc.call = call;
}

/* From daemon() the parent leaves by an _exit that no wrapper sees. */
static void go_on_as_parent(void)
{
    if (in_libc.call == GRACE_DAEMON)
        in_libc.left_to = grace_stop_hands_over(true);
}

GRACE_IN_CHILDREN static void begin_as_child(void)
{
    if (in_libc.call != GRACE_FORK)
        grace_child_begins(in_libc.order);
}

void grace_libc_forks(enum grace_forking call)
{
    if (mine != NULL)
        in_libc.call = call;
}

/* In the parent only when there was no fork, and an elder child was taken for the daemon. */
static void take_back(int32_t self, int32_t from)
{
    if (!grace_successor_appoint_pid(grace_shim.ledger, from, self))
        return;
    grace_ledger_ring(&grace_shim.ledger->asked);
    if (grace_guardian_pid() <= 0 && grace_shim.ledger_path != NULL)
        grace_ledger_rename_owner_at(grace_shim.ledger_path, from, self);
    log_change(from, self, "daemon() failed");
}

void grace_libc_has_forked(bool failed)
{
    if (in_libc.call == GRACE_FORK)
        return;
    int32_t from = in_libc.left_to;
    in_libc.left_to = 0;
    in_libc.call = GRACE_FORK;
    if (failed && from != 0)
        take_back(grace_getpid(), from);
}

/* ---- at load --------------------------------------------------------------------------------- */

void grace_children_setup(void)
{
    if (!grace_shim.plan->daemonize || grace_shim.plan->hook_count == 0)
        return;
    atomic_store(&grace_shim.ledger->depth, 0); /* after an exec lineages begin anew */
    if (grace_shim.plan->pidfile != NULL)
        loaded = grace_process_clock();
    mine = &in_main_thread;
    pthread_atfork(go_to_fork, go_on_as_parent, begin_as_child);
}
