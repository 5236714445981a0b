/*
 * grace-guardian CONFIG PROGRAM PID: watches the owner, runs its external hooks, and outlives it.
 *
 * libgrace.so starts it beside the target, with the ledger and a pidfd of the owner open. It sleeps
 * until the owner asks (a futex in the ledger, waited for by a thread of its own) or ends (the
 * pidfd); nothing wakes it in between. It runs a hook when the conductor asks, and when the owner
 * is gone whatever is still owed. A stop that libgrace leads is over by the deadline: a target that
 * is stuck or stopped by then is killed.
 *
 * The target may be hostile. From the ledger come numbers, each checked; what runs is what the
 * config names, each at most once by the guardian's own account.
 *
 * Under `grace run` as the target's parent it is that one's child: it hears from it how the owner
 * ended, and keeps its stderr, whose reader has the parent to wait for anyway.
 *
 * Stop signals are ignored: whoever stops a whole group or cgroup stops the target, and this
 * is what finishes its work.
 */
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "control.h"
#include "count_stop.h"
#include "ended.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/process.h"
#include "keeper.h"
#include "servers.h"
#include "succession.h"

enum { LEDGER_FD = 3, OWNER_FD = 4, TOLD_FD = 5 };

/* Above the deadline, which the conductor keeps by itself as long as it can. */
#define KILL_SLACK_MS 500

/* After a hand-over: how long a pid file that the daemon has still to write is looked for. */
#define PIDFILE_PATIENCE_MS 10000
#define PIDFILE_LOOK_MS     50

/* How long the owner's successor may be without its ledger. */
#define EXEC_PATIENCE_MS 300
#define EXEC_LOOK_MS     10

/* How long the owner's parent may take to reap it before its exit status is given up. */
#define STATUS_PATIENCE_MS 1000

struct guardian {
    struct grace_keeper keeper;
    int asked;         /* eventfd: the listening thread has seen the ledger's futex move */
    uint64_t began_ms; /* when a stop that may be enforced was first seen; 0: none */
    bool killed;
    bool looked;            /* hooks that want to see a target before it is killed have run */
    int origin;             /* the pid of the owner that started us: no doubt who that is */
    uint64_t look_until_ms; /* for a pid file; 0: not */
    bool is_ending_known;   /* the present owner's, which was heard of once */
    int ending;
    bool is_told; /* by `grace run`, of ends: there is TOLD_FD */
    bool missed;  /* the present owner was gone before we could hold it: its status is not known */
};

/* ---- becoming one -------------------------------------------------------------------------- */

static void settle_down(void)
{
    static const int ignored[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGPIPE, SIGALRM,
                                  SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    grace_kernel_set_mask(0); /* all was blocked until here */
    prctl(PR_SET_NAME, GRACE_GUARDIAN_NAME);
}

/* Nothing of the target's stays open: not its terminal, and no pipe whose reader waits for its end.
 */
static void let_go_of_stdio(int last)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= last; fd++) {
        if (null >= 0)
            dup2(null, fd);
        else
            close(fd);
    }
    if (null > 2)
        close(null);
}

static int refuse(struct grace_ledger *ledger, const char *why)
{
    grace_log(GRACE_LOG_ERROR, "guardian", "no guardian: %s", why);
    if (ledger != NULL) {
        atomic_store(&ledger->guardian, -1);
        grace_ledger_ring(&ledger->answered);
    }
    return EX_CONFIG;
}

/* ---- being asked --------------------------------------------------------------------------- */

static void *listen_to_ledger(void *argument)
{
    struct guardian *guardian = argument;
    _Atomic uint32_t *word = &guardian->keeper.ledger->asked;
    uint32_t seen = 0;
    for (;;) {
        uint64_t one = 1;
        while (atomic_load(word) == seen)
            grace_ledger_wait(word, seen, -1);
        seen = atomic_load(word);
        if (write(guardian->asked, &one, sizeof one) != (ssize_t)sizeof one)
            return NULL;
    }
}

static bool start_listening(struct guardian *guardian)
{
    pthread_attr_t attributes;
    pthread_t thread;
    guardian->asked = eventfd(0, EFD_CLOEXEC);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    int result = pthread_create(&thread, &attributes, listen_to_ledger, guardian);
    pthread_attr_destroy(&attributes);
    return guardian->asked >= 0 && result == 0;
}

/* The stderr that the owner has now, for lines to come: a pipe cannot be opened again, and in a
 * file our lines must not be where the target's next ones go. Given back before we sleep. */
static void take_stderr(const struct guardian *guardian)
{
    if (guardian->keeper.plan->log.sink != GRACE_LOG_STDERR || guardian->is_told)
        return;
    int fd = (int)syscall(SYS_pidfd_getfd, OWNER_FD, 2, 0);
    if (fd < 0)
        return;
    dup3(fd, 2, 0);
    close(fd);
}

static void give_stderr_back(const struct guardian *guardian)
{
    if (guardian->is_told)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup3(null, 2, 0);
    close(null);
}

/* Whether the deadline is ours to enforce at this stage: never on a process that has nothing to do
 * with the target, whomever the ledger names. */
static bool is_enforced(const struct guardian *guardian, uint32_t stage)
{
    bool wanted =
        stage == GRACE_STAGE_LED || (guardian->keeper.plan->enforce &&
                                     (stage == GRACE_STAGE_CHAINED || stage == GRACE_STAGE_CALLED));
    return wanted && (guardian->keeper.pid == guardian->origin ||
                      grace_ledger_is_mapped_by(LEDGER_FD, guardian->keeper.pid));
}

/* Watch another process from now on. It may be gone already: then its end is the end. */
static void turn_to(struct guardian *guardian, int pid)
{
    struct grace_keeper *keeper = &guardian->keeper;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    guardian->missed = pidfd < 0;
    guardian->is_ending_known = false;
    if (pidfd >= 0) {
        dup3(pidfd, OWNER_FD, O_CLOEXEC);
        close(pidfd);
    }
    grace_ledger_rename_owner(LEDGER_FD, pid);
    keeper->pid = pid;
    grace_log_speak_for(pid);
    if (keeper->plan->pidfile != NULL)
        guardian->look_until_ms = grace_kernel_now_ms() + PIDFILE_PATIENCE_MS;
    atomic_store(&keeper->ledger->watched, pid);
    grace_ledger_ring(&keeper->ledger->answered);
}

static void turn_to_named(struct guardian *guardian)
{
    int pid = grace_succession_named(&guardian->keeper, LEDGER_FD);
    if (pid != 0)
        turn_to(guardian, pid);
}

/* Run what the conductor asked for. It tells of it itself, unless it is gone by then. */
static void serve_hook(struct guardian *guardian, size_t index)
{
    struct pollfd owner = {.fd = OWNER_FD, .events = POLLIN};
    struct grace_keeper_run run;
    take_stderr(guardian);
    if (grace_keeper_run(&guardian->keeper, index, &run) && poll(&owner, 1, 0) == 1)
        grace_keeper_report(&guardian->keeper, index, &run);
    give_stderr_back(guardian);
    grace_ledger_ring(&guardian->keeper.ledger->answered);
}

/* Whether there was one. */
static bool serve_hooks(struct guardian *guardian)
{
    const struct grace_keeper *keeper = &guardian->keeper;
    bool served = false;
    for (size_t i = 0; i < keeper->plan->hook_count; i++) {
        size_t index = keeper->plan->order[i];
        if (grace_ledger_state(keeper->ledger, index) == GRACE_HOOK_ASKED) {
            serve_hook(guardian, index);
            served = true;
        }
    }
    return served;
}

/* What the ledger says of the owner and its stop. */
static void follow_ledger(struct guardian *guardian)
{
    struct grace_keeper *keeper = &guardian->keeper;
    uint64_t now = grace_kernel_now_ms();
    turn_to_named(guardian);
    uint32_t stage = atomic_load(&keeper->ledger->stage);
    if (stage == GRACE_STAGE_RUNNING)
        guardian->began_ms = 0; /* also after a stop that was taken back */
    else if (guardian->began_ms == 0 && is_enforced(guardian, stage))
        guardian->began_ms = now;
    grace_keeper_read_cause(keeper);
    keeper->deadline_ms =
        (guardian->began_ms != 0 ? guardian->began_ms : now) + keeper->plan->deadline_ms;
}

static void serve(struct guardian *guardian)
{
    _Atomic uint32_t *asked = &guardian->keeper.ledger->asked;
    uint64_t drop;
    uint32_t seen;
    if (read(guardian->asked, &drop, sizeof drop) < 0)
        return;
    do {
        seen = atomic_load(asked);
        follow_ledger(guardian);
    } while (serve_hooks(guardian) && grace_kernel_changes_soon(asked, seen));
}

/* ---- watching ------------------------------------------------------------------------------ */

static void kill_owner(struct guardian *guardian)
{
    guardian->killed = true;
    grace_log(GRACE_LOG_WARNING, "deadline",
              "the target has not ended by the deadline; killing it (SIGKILL)");
    syscall(SYS_pidfd_send_signal, OWNER_FD, SIGKILL, NULL, 0);
}

/* ---- before the kill ------------------------------------------------------------------------ */

static bool wants_to_look(const struct guardian *guardian, size_t index)
{
    return (guardian->keeper.hooks[index].flags & GRACE_HOOK_BEFORE_KILL) &&
           grace_keeper_owes(&guardian->keeper, index);
}

/* How long before the deadline they begin: not later than with half of the time gone. */
static uint64_t looking_takes_ms(const struct guardian *guardian)
{
    uint64_t sum = 0, most = guardian->keeper.plan->deadline_ms / 2;
    for (size_t i = 0; i < guardian->keeper.plan->hook_count; i++)
        if (wants_to_look(guardian, i))
            sum += guardian->keeper.plan->hooks[i].timeout_ms;
    return sum < most ? sum : most;
}

/* The target hangs, and will soon be gone: whoever has something to see in it sees it now. */
static void look_at_target(struct guardian *guardian)
{
    struct grace_keeper *keeper = &guardian->keeper;
    struct grace_keeper_run run;
    guardian->looked = true;
    take_stderr(guardian);
    for (size_t i = 0; i < keeper->plan->hook_count; i++) {
        size_t index = keeper->plan->order[i];
        if (wants_to_look(guardian, index) && grace_keeper_run(keeper, index, &run))
            grace_keeper_report(keeper, index, &run);
    }
    give_stderr_back(guardian);
}

/* ---- the deadline --------------------------------------------------------------------------- */

/* Milliseconds until the deadline asks for something; -1: there is none to enforce. */
static int time_left(const struct guardian *guardian)
{
    if (guardian->began_ms == 0 || guardian->killed)
        return -1;
    uint64_t end = guardian->began_ms + guardian->keeper.plan->deadline_ms;
    uint64_t looking = guardian->looked ? 0 : looking_takes_ms(guardian);
    end += looking > 0 ? 0 - looking : KILL_SLACK_MS;
    uint64_t now = grace_kernel_now_ms();
    return now < end ? (int)(end - now) : 0;
}

static void keep_deadline(struct guardian *guardian)
{
    if (!guardian->looked && looking_takes_ms(guardian) > 0)
        look_at_target(guardian);
    else
        kill_owner(guardian);
}

/* Milliseconds to wait for the next event; -1: for ever. */
static int patience(const struct guardian *guardian)
{
    int left = time_left(guardian);
    return left < 0 && guardian->look_until_ms != 0 ? PIDFILE_LOOK_MS : left;
}

/* The owner's successor may have been appointed before the pid file was there that names another.
 */
static void look_for_pidfile(struct guardian *guardian)
{
    const struct grace_keeper *keeper = &guardian->keeper;
    if (guardian->look_until_ms == 0 || atomic_load(&keeper->ledger->stage) != GRACE_STAGE_RUNNING)
        return;
    take_stderr(guardian);
    int pid = grace_succession_by_file(keeper);
    give_stderr_back(guardian);
    if (pid != 0 && pid != keeper->pid)
        turn_to(guardian, pid);
    if (pid != 0 || grace_kernel_now_ms() >= guardian->look_until_ms)
        guardian->look_until_ms = 0;
}

/* Returns when the owner is gone, or has hooks of another config now. */
static void watch(struct guardian *guardian)
{
    struct pollfd events[] = {{.fd = OWNER_FD, .events = POLLIN},
                              {.fd = guardian->asked, .events = POLLIN}};
    for (;;) {
        int ready = poll(events, 2, patience(guardian));
        if (ready == 0 && time_left(guardian) == 0)
            keep_deadline(guardian);
        else if (ready == 0)
            look_for_pidfile(guardian);
        if (ready <= 0)
            continue;
        if (events[0].revents != 0)
            return;
        serve(guardian);
        if (atomic_load(&guardian->keeper.ledger->stage) == GRACE_STAGE_DISMISSED)
            return;
    }
}

/* What the parent of both has to say about the owner's end; false: nothing within the patience, for
 * it is gone, too. */
static bool hear_status(const struct guardian *guardian, int *status)
{
    struct grace_guardian_told told;
    struct pollfd word = {.fd = TOLD_FD, .events = POLLIN};
    while (guardian->is_told && poll(&word, 1, STATUS_PATIENCE_MS) == 1 &&
           read(TOLD_FD, &told, sizeof told) == (ssize_t)sizeof told) {
        if (told.pid != guardian->keeper.pid)
            continue;
        *status = told.status;
        return true;
    }
    return false;
}

static bool learn_status(const struct guardian *guardian, int *status)
{
    return hear_status(guardian, status) ||
           grace_ended_status(OWNER_FD, guardian->keeper.pid, STATUS_PATIENCE_MS, status);
}

/* Whether our parent, `grace run`, has children besides us: what the target left behind. */
static bool has_siblings(void)
{
    char path[64];
    int pid, others = 0, parent = getppid();
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%d", &pid) == 1)
        others += pid != getpid();
    if (file != NULL)
        fclose(file);
    return others > 0;
}

/* Where libgrace is not in the owner only the pid file tells who goes on, and the daemon may have
 * still to write it. */
static int await_pidfile(const struct guardian *guardian)
{
    int pid = 0;
    for (int waited = 0; pid == 0 && guardian->is_told && waited < PIDFILE_PATIENCE_MS &&
                         guardian->keeper.plan->pidfile != NULL && has_siblings();
         waited += PIDFILE_LOOK_MS) {
        poll(NULL, 0, PIDFILE_LOOK_MS);
        pid = grace_succession_by_file(&guardian->keeper);
    }
    return pid;
}

/* The owner said nothing, and no stop was under way: who goes on in its place, or 0. */
static int left_to(struct guardian *guardian)
{
    int status;
    take_stderr(guardian);
    int pid = grace_succession_by_file(&guardian->keeper);
    if (pid == 0 && !guardian->missed && learn_status(guardian, &status)) {
        guardian->ending = status;
        guardian->is_ending_known = true;
    }
    if (pid == 0 && guardian->is_ending_known && guardian->ending == 0)
        pid = grace_succession_appoint(&guardian->keeper, LEDGER_FD);
    if (pid == 0 && guardian->is_ending_known && guardian->ending == 0)
        pid = await_pidfile(guardian);
    give_stderr_back(guardian);
    return pid;
}

/* The owner is gone. True when another process goes on in its place. */
static bool follow(struct guardian *guardian)
{
    struct grace_keeper *keeper = &guardian->keeper;
    int pid = grace_succession_named(keeper, LEDGER_FD);
    /* It may have begun with executing another program, which has the ledger only in a moment. */
    for (int waited = 0; pid == 0 && waited < EXEC_PATIENCE_MS &&
                         atomic_load(&keeper->ledger->owner) != keeper->pid;
         waited += EXEC_LOOK_MS) {
        poll(NULL, 0, EXEC_LOOK_MS);
        pid = grace_succession_named(keeper, LEDGER_FD);
    }
    if (pid == 0 && keeper->plan->daemonize &&
        atomic_load(&keeper->ledger->stage) == GRACE_STAGE_RUNNING)
        pid = left_to(guardian);
    if (pid == 0)
        return false;
    turn_to(guardian, pid);
    return true;
}

/* ---- afterwards ---------------------------------------------------------------------------- */

static void finish(struct guardian *guardian)
{
    struct grace_keeper *keeper = &guardian->keeper;
    int status;
    keeper->gone = true;
    keeper->began_ms = grace_kernel_now_ms();
    grace_keeper_read_cause(keeper);
    if (guardian->is_ending_known)
        grace_keeper_set_ending(keeper, guardian->ending);
    else if (!guardian->missed && learn_status(guardian, &status))
        grace_keeper_set_ending(keeper, status);
    else if (keeper->cause == GRACE_CAUSE_NONE)
        keeper->cause = GRACE_CAUSE_KILLED;
    /* The target is gone and waits for nobody: what is owed has the whole time again. */
    keeper->deadline_ms = grace_kernel_now_ms() + keeper->plan->deadline_ms;
    grace_keeper_run_all(keeper);
    grace_keeper_count(keeper);
}

/* A durable ledger whose hooks are settled has served. */
static void remove_file(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/fd/3", path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    const char *end = strrchr(path, '.');
    if (path[0] == '/' && end != NULL && strcmp(end, GRACE_LEDGER_SUFFIX) == 0)
        unlink(path);
}

int grace_guardian_main(int argc, char **argv)
{
    static struct guardian guardian;
    struct grace_error error = {.size = sizeof error};
    guardian.is_told = argc == 5 && strcmp(argv[4], GRACE_GUARDIAN_TOLD) == 0;
    if (argc != 4 && !guardian.is_told)
        return EX_USAGE;
    settle_down();
    fcntl(LEDGER_FD, F_SETFD, FD_CLOEXEC);
    fcntl(OWNER_FD, F_SETFD, FD_CLOEXEC);
    if (guardian.is_told)
        fcntl(TOLD_FD, F_SETFD, FD_CLOEXEC);
    flock(LEDGER_FD, LOCK_EX | LOCK_NB); /* `grace recover` keeps off while we live */
    grace_log_speak_for(atoi(argv[3]));
    struct grace_ledger *ledger = grace_ledger_attach(LEDGER_FD);
    if (ledger == NULL)
        return refuse(NULL, "the ledger cannot be mapped");
    if (grace_keeper_open(&guardian.keeper, argv[1], argv[2], ledger, atoi(argv[3]), &error) != 0) {
        grace_log_setup(&grace_plan_default()->log, argv[2]);
        return refuse(ledger, error.text);
    }
    grace_log_setup(&guardian.keeper.plan->log, argv[2]);
    grace_servers_start(&guardian.keeper);
    if (!start_listening(&guardian))
        return refuse(ledger, "no thread can be had");
    let_go_of_stdio(guardian.is_told ? 1 : 2);
    guardian.keeper.since = grace_process_born((int)getpid());
    atomic_store(&ledger->guardian_born, guardian.keeper.since);
    atomic_store(&ledger->guardian, (int32_t)getpid());
    grace_ledger_ring(&ledger->answered);
    guardian.origin = guardian.keeper.pid;
    grace_control_serve(&guardian.keeper);
    do {
        watch(&guardian);
    } while (follow(&guardian));
    if (atomic_load(&ledger->stage) != GRACE_STAGE_DISMISSED)
        finish(&guardian);
    remove_file();
    grace_control_close();
    return EX_OK;
}
