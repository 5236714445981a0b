/* Running one command: its output, its end, its time. Starting it: spawn.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "kernel.h"
#include "output.h"
#include "spawn.h"

/* What is kept of the timeout for a command that KILL ended to be gone and reaped. */
#define REAP_US UINT64_C(20000)

/* Most that is read once the command ended: what it left behind may be writing for ever. */
#define LAST_OUTPUT_MAX (1024 * 1024)

/* Without a pidfd: between looks at the command. */
#define LOOK_FIRST_US 1000
#define LOOK_MAX_US   20000

enum stage { STAGE_RUNNING, STAGE_TERM, STAGE_KILL };

struct run {
    long pid;
    int output; /* our end of the pipe; -1 once it is at its end */
    int pidfd;  /* -1: not to be had */
    enum stage stage;
    uint64_t term_us, kill_us, end_us; /* when to do what; CLOCK_MONOTONIC */
    uint64_t look_us;
    int status;
    struct grace_output text;
};

static void plan_times(struct run *run, uint64_t begin_us, uint32_t timeout_ms)
{
    uint64_t timeout = (uint64_t)timeout_ms * 1000;
    uint64_t kill_after = GRACE_COMMAND_KILL_AFTER_MS * UINT64_C(1000);
    uint64_t reap = timeout / 10 < REAP_US ? timeout / 10 : REAP_US;
    run->end_us = begin_us + timeout;
    run->term_us = begin_us + (timeout > 2 * kill_after ? timeout - kill_after : timeout / 2);
    run->kill_us = run->end_us - reap;
}

/* Send what is due by now. A command that is stopped gets to see TERM by CONT. */
static void enforce_times(struct run *run, uint64_t now)
{
    if (run->stage == STAGE_RUNNING && now >= run->term_us) {
        run->stage = STAGE_TERM;
        grace_kernel(SYS_kill, -run->pid, SIGTERM);
        grace_kernel(SYS_kill, -run->pid, SIGCONT);
    }
    if (run->stage == STAGE_TERM && now >= run->kill_us) {
        run->stage = STAGE_KILL;
        grace_kernel(SYS_kill, -run->pid, SIGKILL);
    }
}

static uint64_t next_time(const struct run *run)
{
    return run->stage == STAGE_RUNNING ? run->term_us
           : run->stage == STAGE_TERM  ? run->kill_us
                                       : run->end_us;
}

/* Read once. Returns the bytes read; 0 when there is nothing now or will never be. */
static size_t read_output(struct run *run)
{
    char buffer[4096];
    if (run->output < 0)
        return 0;
    long length = grace_kernel(SYS_read, run->output, buffer, sizeof buffer);
    if (length > 0) {
        grace_output_add(&run->text, buffer, (size_t)length);
        return (size_t)length;
    }
    if (length != -EAGAIN && length != -EINTR) {
        grace_kernel(SYS_close, run->output);
        run->output = -1;
    }
    return 0;
}

/* Until something happens or something is due. */
static void wait_for_event(struct run *run, uint64_t now)
{
    struct pollfd entries[2];
    unsigned count = 0;
    if (run->output >= 0)
        entries[count++] = (struct pollfd){.fd = run->output, .events = POLLIN};
    if (run->pidfd >= 0)
        entries[count++] = (struct pollfd){.fd = run->pidfd, .events = POLLIN};
    uint64_t due = next_time(run), wait = due > now ? due - now : 0;
    if (run->pidfd < 0) {
        if (wait > run->look_us)
            wait = run->look_us;
        run->look_us = run->look_us < LOOK_MAX_US / 2 ? run->look_us * 2 : LOOK_MAX_US;
    }
    struct timespec time = {(time_t)(wait / 1000000), (long)(wait % 1000000) * 1000};
    grace_kernel(SYS_ppoll, entries, count, &time, NULL, 8);
}

/* Whether it ended; its status is taken then. -1 as status: nobody can tell how. */
static int has_ended(struct run *run)
{
    long pid = grace_kernel(SYS_wait4, run->pid, &run->status, WNOHANG | __WALL, NULL);
    if (pid == -ECHILD)
        run->status = -1;
    return pid == run->pid || pid == -ECHILD;
}

/* Returns 0 when it ended, -1 when not even KILL ended it in time. */
static int wait_for_end(struct run *run)
{
    for (;;) {
        read_output(run);
        if (has_ended(run))
            return 0;
        uint64_t now = grace_kernel_now_us();
        enforce_times(run, now);
        if (run->stage == STAGE_KILL && now >= run->end_us)
            return -1;
        wait_for_event(run, now);
    }
}

static void read_last_output(struct run *run)
{
    size_t total = 0, length;
    while (total < LAST_OUTPUT_MAX && (length = read_output(run)) > 0)
        total += length;
    grace_output_end(&run->text);
}

static void judge(const struct run *run, int ended, struct grace_command_result *result)
{
    if (!ended || run->stage != STAGE_RUNNING) {
        result->outcome = GRACE_OUTCOME_TIMEOUT;
        result->detail = 0;
    } else if (run->status == -1) {
        result->outcome = GRACE_OUTCOME_STATUS;
        result->detail = -1;
    } else if (WIFSIGNALED(run->status)) {
        result->outcome = GRACE_OUTCOME_SIGNAL;
        result->detail = WTERMSIG(run->status);
    } else {
        result->detail = WEXITSTATUS(run->status);
        result->outcome = result->detail == 0 ? GRACE_OUTCOME_DONE : GRACE_OUTCOME_STATUS;
    }
}

static long open_pidfd(long pid)
{
#ifdef SYS_pidfd_open
    if (grace_kernel_is_valgrind()) /* it does not know this one, and would tell everybody */
        return -ENOSYS;
    return grace_kernel(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
#else
    (void)pid;
    return -ENOSYS;
#endif
}

static void follow(struct run *run, struct grace_command_result *result)
{
    long pidfd = open_pidfd(run->pid);
    run->pidfd = pidfd >= 0 ? (int)pidfd : -1;
    int ended = wait_for_end(run) == 0;
    read_last_output(run);
    if (run->pidfd >= 0)
        grace_kernel(SYS_close, run->pidfd);
    judge(run, ended, result);
}

void grace_command_run_for(const struct grace_command *command, char *const *envp,
                           uint32_t timeout_ms, int program_pid, _Atomic int32_t *running,
                           struct grace_command_result *result)
{
    uint64_t begin = grace_kernel_now_us();
    struct run run = {.output = -1, .stage = STAGE_RUNNING, .look_us = LOOK_FIRST_US};
    *result = (struct grace_command_result){.outcome = GRACE_OUTCOME_NOT_STARTED};
    plan_times(&run, begin, timeout_ms);
    grace_output_start(&run.text, command->hook, program_pid);

    int ends[2] = {-1, -1};
    long failed = grace_kernel(SYS_pipe2, ends, O_CLOEXEC);
    if (failed < 0) {
        result->detail = (int)-failed;
        return;
    }
    run.output = ends[0];
    /* Only our end: a command may well rely on output that blocks. */
    grace_kernel(SYS_fcntl, run.output, F_SETFL, O_NONBLOCK);
    struct grace_spawned *spawned;
    run.pid = grace_spawn(command, envp, ends[1], running, &spawned);
    grace_kernel(SYS_close, ends[1]);
    if (run.pid < 0) {
        result->detail = (int)-run.pid;
    } else {
        follow(&run, result);
        atomic_store_explicit(running, 0, memory_order_release);
        int error = grace_spawn_end(spawned);
        if (error != 0) {
            result->outcome = GRACE_OUTCOME_NOT_STARTED;
            result->detail = error;
        }
    }
    if (run.output >= 0)
        grace_kernel(SYS_close, run.output);
    result->output_cut = run.text.cut;
    result->duration_us = grace_kernel_now_us() - begin;
}

void grace_command_run(const struct grace_command *command, char *const *envp, uint32_t timeout_ms,
                       struct grace_command_result *result)
{
    _Atomic int32_t running = 0;
    grace_command_run_for(command, envp, timeout_ms, grace_getpid(), &running, result);
}
