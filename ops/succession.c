#include "succession.h"

#include <stdatomic.h>
#include <unistd.h>

#include "hooks/log.h"
#include "hooks/process.h"
#include "hooks/successor.h"

static int by_file(const struct grace_keeper *keeper)
{
    return grace_successor_in_file(keeper->plan->pidfile, keeper->since);
}

int grace_succession_named(const struct grace_keeper *keeper, int ledger_fd)
{
    int pid = atomic_load(&keeper->ledger->owner);
    /* Never the guardian itself, which has the ledger, too: it would watch over itself for ever. */
    if (pid <= 0 || pid == keeper->pid || pid == (int)getpid())
        return 0;
    if (grace_ledger_is_mapped_by(ledger_fd, pid) || !grace_process_runs(pid))
        return pid;
    return by_file(keeper) == pid ? pid : 0;
}

static void tell(const struct grace_keeper *keeper, int pid, const char *why)
{
    grace_log(GRACE_LOG_INFO, "hand-over", "pid %d hands over to %d: %s", keeper->pid, pid, why);
}

int grace_succession_by_file(const struct grace_keeper *keeper)
{
    int pid = by_file(keeper);
    if (pid == 0 || pid == keeper->pid)
        return pid;
    if (!grace_successor_appoint_pid(keeper->ledger, keeper->pid, pid))
        return 0;
    tell(keeper, pid, "named by the pid file");
    return pid;
}

static bool has_ledger(int pid, const void *ledger_fd)
{
    return pid != (int)getpid() && grace_ledger_is_mapped_by(*(const int *)ledger_fd, pid);
}

int grace_succession_appoint(const struct grace_keeper *keeper, int ledger_fd)
{
    int pid = grace_successor_appoint(keeper->ledger, keeper->pid, has_ledger, &ledger_fd);
    if (pid != 0)
        tell(keeper, pid, "forked, no exec, alive");
    return pid;
}
