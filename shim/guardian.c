/*
 * The target's side of the guardian: starting it, and asking it to run external hooks.
 *
 * It is started by two clones that share our memory, and an exec. The first child is gone when the
 * constructor goes on, so that the guardian is nobody's child here; neither sends SIGCHLD nor is
 * seen by wait(). The second runs beside us until its exec: its stack and what it reads stay.
 * Where such a clone is refused, a forked child does the same: nothing but the ledger needs to be
 * the same memory.
 * It inherits two descriptors, the ledger (3) and a pidfd of the owner (4); ours are closed again.
 */
#include "guardian.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/process.h"
#include "hooks/room.h"
#include "hooks/text.h"
#include "raw.h"

#define STACK_SIZE       (64l * 1024)
#define FIRST_STACK_SIZE 2048 /* starts the second, and is gone */

/* How long a stop waits for a guardian that was started and is not there yet. */
#define ARRIVAL_LIMIT_MS 2000

/* How often the conductor looks whether the guardian that it waits for still lives. */
#define LOOK_EVERY_MS 100

/* What the guardian may take above a hook's own time before it is given up. */
#define ANSWER_SLACK_MS 2000

static struct {
    const char *path;
    const char *argv[5];
    char *const *environment;
    int ledger, pidfd;
} launch;

/* Among our variables, what they use of both in a page or two: a mapping of their own would be one
 * more for each fork to copy. The second stays in use: nobody here learns when the exec is over. */
static struct {
    _Alignas(16) char second[STACK_SIZE], first[FIRST_STACK_SIZE];
} stacks GRACE_ROOM(guardian_stacks);

/* Whether external hooks are run beside the target: by a guardian of ours, or by one that an image
 * before an exec left, and that cannot be reached from here. */
static enum { NOBODY, GUARDIAN, OUT_OF_REACH } keeper;

/* The process in which the ledger was found: the guardian that a program before an exec left, or
 * `grace run`, which stays when its guardian is replaced. 0: we have made it ourselves. */
static int found_in;

/* ---- starting ------------------------------------------------------------------------------ */

static GRACE_PLAIN void place_descriptors(void)
{
    /* Out of the way first: either may have the other's number. */
    long ledger = grace_kernel(SYS_fcntl, launch.ledger, F_DUPFD, 5);
    long pidfd = grace_kernel(SYS_fcntl, launch.pidfd, F_DUPFD, 5);
    grace_kernel(SYS_dup3, ledger, 3, 0);
    grace_kernel(SYS_dup3, pidfd, 4, 0);
    grace_kernel_close_range(5, ~0u);
}

/* Said from the new process, in the ledger: nobody has to wait for a guardian that never comes. */
static GRACE_PLAIN void give_up(void)
{
    _Atomic uint32_t *answered = &grace_shim.ledger->answered;
    atomic_store(&grace_shim.ledger->guardian, -1);
    atomic_fetch_add(answered, 1);
    grace_kernel(SYS_futex, answered, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static GRACE_PLAIN void become_guardian(void *unused)
{
    (void)unused;
    grace_kernel(SYS_setsid);
    place_descriptors();
    grace_kernel(SYS_execve, launch.path, (const void *)launch.argv,
                 (const void *)launch.environment);
    give_up();
    grace_kernel_exit(127);
}

static GRACE_PLAIN void start_second(void *unused)
{
    (void)unused;
    char *stack = stacks.second + STACK_SIZE;
    if (grace_kernel_clone(CLONE_VM, stack, NULL, become_guardian, NULL) < 0 &&
        grace_kernel_clone(SIGCHLD, stack, NULL, become_guardian, NULL) < 0)
        give_up();
    grace_kernel_exit(0);
}

static long start_first(unsigned long flags)
{
    long first =
        grace_kernel_clone(flags, stacks.first + FIRST_STACK_SIZE, NULL, start_second, NULL);
    if (first > 0)
        while (grace_kernel(SYS_wait4, first, NULL, __WALL, NULL) == -EINTR)
            continue;
    return first;
}

/* The SIGCHLD of a forked one waits, blocked as it is, to be taken away. */
static long start_first_by_fork(void)
{
    const uint64_t sigchld = GRACE_SIGNAL_BIT(SIGCHLD);
    static const struct timespec now;
    uint64_t pending = 0;
    grace_kernel(SYS_rt_sigpending, &pending, sizeof pending);
    long first = start_first(SIGCHLD);
    if (!(pending & sigchld))
        grace_kernel(SYS_rt_sigtimedwait, &sigchld, NULL, &now, sizeof sigchld);
    return first;
}

static bool start_processes(void)
{
    uint64_t mask;
    grace_kernel_block_signals(&mask);
    /* No exit signal: neither SIGCHLD nor wait() tells the target of it. */
    long first = start_first(CLONE_VM | CLONE_VFORK);
    if (first < 0)
        first = start_first_by_fork();
    grace_kernel_set_mask(mask);
    return first > 0 && atomic_load(&grace_shim.ledger->guardian) != -1;
}

/* The guardian's own environment: what other preloads do to the target is not for it, nor for
 * hooks. */
static char *const *without_preload(char *const *environment)
{
    size_t count = 0, kept = 0;
    while (environment[count] != NULL)
        count++;
    char **copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        return environment;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environment[i], "LD_PRELOAD=", 11) != 0)
            copy[kept++] = environment[i];
    copy[kept] = NULL;
    return copy;
}

bool grace_guardian_start(const char *executable, int ledger_fd)
{
    static char pid[16];
    struct grace_text text;
    grace_text_start(&text, pid, sizeof pid);
    grace_text_add_signed(&text, grace_getpid());
    launch.path = executable;
    launch.argv[0] = "grace-guardian";
    launch.argv[1] = grace_shim.plan->file;
    launch.argv[2] = grace_shim.program;
    launch.argv[3] = pid;
    launch.environment = without_preload(grace_shim.environment);
    launch.ledger = ledger_fd;
    launch.pidfd = (int)grace_kernel(SYS_pidfd_open, grace_getpid(), 0);
    bool started = launch.pidfd >= 0 && start_processes();
    if (launch.pidfd >= 0)
        close(launch.pidfd);
    if (started)
        keeper = GUARDIAN;
    return started;
}

/* ---- across an exec ------------------------------------------------------------------------ */

enum grace_guardian_found grace_guardian_find(int pid, uint64_t fingerprint,
                                              struct grace_ledger **ledger)
{
    char path[64];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/fd/3", pid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES || errno == EPERM ? GRACE_GUARDIAN_OUT_OF_REACH
                                                 : GRACE_GUARDIAN_GONE;
    struct grace_ledger *found = grace_ledger_attach(fd);
    close(fd);
    if (found == NULL || atomic_load(&found->owner) != grace_getpid())
        return GRACE_GUARDIAN_GONE;
    if (found->fingerprint != fingerprint) {
        atomic_store(&found->stage, GRACE_STAGE_DISMISSED);
        grace_ledger_ring(&found->asked);
        grace_ledger_detach(found);
        return GRACE_GUARDIAN_GONE;
    }
    *ledger = found;
    keeper = GUARDIAN;
    found_in = pid;
    return GRACE_GUARDIAN_FOUND;
}

void grace_guardian_is_out_of_reach(void)
{
    keeper = OUT_OF_REACH;
}

/* ---- asking -------------------------------------------------------------------------------- */

static bool lives(const struct grace_ledger *ledger, int guardian)
{
    return grace_process_is(guardian, atomic_load(&ledger->guardian_born));
}

bool grace_guardian_serves(void)
{
    if (keeper != GUARDIAN)
        return keeper == OUT_OF_REACH;
    struct grace_ledger *ledger = grace_shim.ledger;
    uint64_t limit = grace_kernel_now_ms() + ARRIVAL_LIMIT_MS;
    for (;;) {
        uint32_t seen = atomic_load(&ledger->answered);
        int pid = atomic_load(&ledger->guardian);
        if (pid != 0) {
            if (pid > 0 && lives(ledger, pid))
                return true;
            break;
        }
        uint64_t now = grace_kernel_now_ms();
        if (now >= limit)
            break;
        grace_ledger_wait(&ledger->answered, seen, (int64_t)(limit - now));
    }
    keeper = NOBODY;
    grace_log(GRACE_LOG_WARNING, "guardian",
              "the guardian is gone; external hooks run from within the target");
    return false;
}

int grace_guardian_pid(void)
{
    if (found_in != 0 && grace_process_runs(found_in))
        return found_in;
    return keeper == GUARDIAN && grace_guardian_serves() ? atomic_load(&grace_shim.ledger->guardian)
                                                         : 0;
}

bool grace_guardian_in_reach(void)
{
    return keeper != OUT_OF_REACH;
}

enum grace_guardian_answer grace_guardian_ask(size_t hook, uint32_t limit_ms)
{
    struct grace_ledger *ledger = grace_shim.ledger;
    if (!grace_ledger_ask(ledger, hook))
        return GRACE_ANSWER_OVER;
    grace_ledger_ring(&ledger->asked);
    uint64_t limit = grace_kernel_now_ms() + limit_ms + ANSWER_SLACK_MS;
    for (;;) {
        uint32_t seen = atomic_load(&ledger->answered);
        enum grace_hook_state state = grace_ledger_state(ledger, hook);
        if (state == GRACE_HOOK_DONE || state == GRACE_HOOK_SKIPPED)
            return GRACE_ANSWER_OVER;
        if (grace_stop_is_cut())
            return GRACE_ANSWER_LEFT;
        if (grace_kernel_now_ms() >= limit)
            return GRACE_ANSWER_LEFT;
        grace_ledger_wait(&ledger->answered, seen, LOOK_EVERY_MS);
        if (atomic_load(&ledger->answered) != seen || lives(ledger, atomic_load(&ledger->guardian)))
            continue;
        /* Gone with the hook not begun: ours again. Begun: half of it may be done. */
        return grace_ledger_give_back(ledger, hook) ? GRACE_ANSWER_GIVEN_BACK : GRACE_ANSWER_DIED;
    }
}

void grace_guardian_tell(enum grace_stop_stage stage)
{
    struct grace_ledger *ledger = grace_shim.ledger;
    const struct grace_stop_facts *facts = grace_stop_facts();
    atomic_store_explicit(&ledger->cause, (uint32_t)facts->cause, memory_order_relaxed);
    atomic_store_explicit(&ledger->signo, facts->signo, memory_order_relaxed);
    atomic_store_explicit(&ledger->status, facts->status, memory_order_relaxed);
    atomic_store_explicit(&ledger->sender_pid, facts->sender_pid, memory_order_relaxed);
    atomic_store_explicit(&ledger->sender_uid, facts->sender_uid, memory_order_relaxed);
    atomic_store_explicit(&ledger->began_ms, facts->began_ms, memory_order_relaxed);
    atomic_store_explicit(&ledger->stage, stage, memory_order_release);
    if (keeper == GUARDIAN)
        grace_ledger_ring(&ledger->asked);
}

void grace_guardian_retire(void)
{
    if (keeper == NOBODY && grace_shim.ledger_path != NULL)
        grace_kernel(SYS_unlinkat, AT_FDCWD, grace_shim.ledger_path, 0);
}
