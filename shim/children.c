/*
 * Children of the owner's, forked without exec: any of them may be the daemon that goes on when the
 * owner exits. Each writes itself into the ledger as it begins, since it shares that memory, and
 * strikes itself out before an exec or at its end.
 *
 * Through pthread_atfork, because libc's own daemon() forks where no wrapper of fork sees it. The
 * children of vfork, posix_spawn, system and popen are never told: they share our memory, and exec.
 */
#include "shim.h"

#include <pthread.h>

#include "guardian.h"
#include "hooks/log.h"
#include "hooks/successor.h"
#include "raw.h"

static void begin_as_child(void)
{
    int32_t parent = atomic_load_explicit(&grace_shim.process, memory_order_relaxed);
    if (parent == 0)
        return;
    atomic_store_explicit(&grace_shim.process, grace_getpid(), memory_order_relaxed);
    grace_successor_add(grace_shim.ledger, grace_getpid());
    grace_ledger_ring(&grace_shim.ledger->forks);
}

static void go_on_as_parent(void)
{
    atomic_fetch_add_explicit(&grace_shim.ledger->forked, 1, memory_order_relaxed);
}

void grace_children_setup(void)
{
    if (grace_shim.plan->daemonize && grace_shim.plan->hook_count > 0)
        pthread_atfork(NULL, go_on_as_parent, begin_as_child);
}

/* Whether this is a forked child with memory of its own, written down in the ledger. */
static bool is_written_down(void)
{
    return grace_shim.plan != NULL && grace_shim.plan->daemonize &&
           atomic_load_explicit(&grace_shim.process, memory_order_relaxed) == grace_getpid() &&
           !grace_is_owner();
}

bool grace_child_leaves(void)
{
    if (!is_written_down())
        return false;
    grace_successor_remove(grace_shim.ledger, grace_getpid());
    return true;
}

void grace_child_returns(void)
{
    grace_successor_add(grace_shim.ledger, grace_getpid());
}

/* With `pidfile`: whether it names a process that goes on. Who the owner is then, the guardian
 * finds out: it may be one that no fork rule knows, as a daemon that a script has started. */
static bool pidfile_names_another(int self)
{
    const char *path = grace_shim.plan->pidfile;
    int pid = path == NULL ? 0 : grace_pidfile_read(path);
    return pid > 0 && pid != self && grace_process_runs(pid) && grace_guardian_serves();
}

bool grace_owner_hands_over(void)
{
    struct grace_executable own;
    int32_t self = grace_getpid();
    if (!grace_shim.plan->daemonize || grace_shim.plan->hook_count == 0 ||
        !grace_executable_of(self, &own))
        return false;
    if (pidfile_names_another(self))
        return true;
    grace_successor_await(grace_shim.ledger);
    int successor = grace_successor_find(grace_shim.ledger, self, &own);
    if (successor == 0)
        return false;
    grace_successor_remove(grace_shim.ledger, successor);
    if (!atomic_compare_exchange_strong(&grace_shim.ledger->owner, &self, successor))
        return false;
    grace_log(GRACE_LOG_INFO, "hand-over", "pid %d hands over to %d: forked, no exec, alive",
              grace_getpid(), successor);
    return true;
}
