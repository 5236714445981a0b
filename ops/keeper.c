#include "keeper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/fingerprint.h"
#include "grace.h"
#include "hooks/command.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/report.h"
#include "hooks/spawn.h"
#include "hooks/story.h"
#include "servers.h"

extern char **environ;

/* ---- opening ------------------------------------------------------------------------------- */

static int refuse(const struct grace_problems *problems, struct grace_error *error)
{
    char text[sizeof error->text] = "it cannot be read";
    for (size_t i = 0; i < problems->count; i++)
        if (problems->list[i].severity == GRACE_FATAL) {
            grace_problem_format(&problems->list[i], text, sizeof text);
            break;
        }
    return grace_error_set(error, "%.*s", (int)sizeof text - 1, text);
}

static int read_plan(struct grace_keeper *keeper, const char *config, struct grace_error *error)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    keeper->plan = grace_plan_read(config, &problems);
    int result = keeper->plan == NULL ? refuse(&problems, error) : 0;
    grace_problems_free(&problems);
    if (keeper->plan != NULL &&
        (keeper->plan->hook_count != grace_ledger_room(keeper->ledger) ||
         grace_plan_fingerprint(keeper->plan) != keeper->ledger->fingerprint))
        return grace_error_set(
            error,
            "%s has other hooks now than when %s (pid %d) started; put them back, "
            "or delete the file of the ledger to forget what is owed",
            config, keeper->program, keeper->pid);
    return result;
}

int grace_keeper_open(struct grace_keeper *keeper, const char *config, const char *program,
                      struct grace_ledger *ledger, int pid, struct grace_error *error)
{
    static char origin[4096], executable[4096 + 8];
    *keeper = (struct grace_keeper){
        .ledger = ledger, .program = program, .pid = pid, .status = -1, .sender_uid = -1};
    if (read_plan(keeper, config, error) != 0)
        return -1;
    size_t count = keeper->plan->hook_count;
    keeper->hooks = calloc(count + 1, sizeof *keeper->hooks);
    keeper->ran = calloc(count + 1, sizeof *keeper->ran);
    if (keeper->hooks == NULL || keeper->ran == NULL)
        return grace_error_set(error, "out of memory");
    grace_own_folder(origin, sizeof origin);
    snprintf(executable, sizeof executable, "%s/grace", origin);
    const struct grace_hook_places places = {
        .origin = origin, .executable = executable, .environment = environ};
    for (size_t i = 0; i < count; i++)
        grace_hook_load(&keeper->hooks[i], keeper->plan, &keeper->plan->hooks[i], &places);
    return 0;
}

/* ---- the story ----------------------------------------------------------------------------- */

static int within(int value, int low, int high, int otherwise)
{
    return value >= low && value <= high ? value : otherwise;
}

void grace_keeper_read_cause(struct grace_keeper *keeper)
{
    const struct grace_ledger *ledger = keeper->ledger;
    uint32_t cause = atomic_load(&ledger->cause);
    keeper->cause = cause < GRACE_CAUSES ? (enum grace_cause)cause : GRACE_CAUSE_NONE;
    keeper->signo = within(atomic_load(&ledger->signo), 0, 64, 0);
    keeper->status = within(atomic_load(&ledger->status), -1, 255, -1);
    keeper->sender_pid = within(atomic_load(&ledger->sender_pid), 0, INT32_MAX, 0);
    keeper->sender_uid = atomic_load(&ledger->sender_uid);
}

/* Whether a signal is one that stops programs, so that dying of it is an ordinary stop. */
static bool is_stop_signal(const struct grace_keeper *keeper, int signo)
{
    return (keeper->plan->signals & GRACE_SIGNAL_BIT(signo)) != 0;
}

static void end_by_signal(struct grace_keeper *keeper, int signo)
{
    keeper->status = -1;
    if (keeper->cause == GRACE_CAUSE_SIGNAL && keeper->signo == signo)
        return;
    keeper->cause = is_stop_signal(keeper, signo) ? GRACE_CAUSE_SIGNAL
                    : signo == SIGKILL            ? GRACE_CAUSE_KILLED
                                                  : GRACE_CAUSE_CRASH;
    keeper->signo = signo;
    keeper->sender_pid = 0;
    keeper->sender_uid = -1;
}

void grace_keeper_set_ending(struct grace_keeper *keeper, int wait_status)
{
    keeper->core_dumped = WIFSIGNALED(wait_status) && WCOREDUMP(wait_status);
    if (WIFSIGNALED(wait_status)) {
        end_by_signal(keeper, WTERMSIG(wait_status));
        return;
    }
    keeper->status = WEXITSTATUS(wait_status);
    if (keeper->cause == GRACE_CAUSE_NONE)
        keeper->cause = GRACE_CAUSE__EXIT; /* a raw exit_group: none of libc's doors was used */
}

struct grace_stop grace_keeper_describe(const struct grace_keeper *keeper)
{
    struct grace_stop stop = {
        .size = sizeof stop,
        .program = keeper->program,
        .cause = grace_cause_name(keeper->cause),
        .pid = keeper->pid,
        .signo = keeper->signo,
        .exit_status = keeper->status,
        .sender_pid = keeper->sender_pid,
        .sender_uid = keeper->sender_uid,
        .core_dumped = keeper->core_dumped,
        .gone = keeper->gone,
    };
    grace_story_add_counts(&stop, keeper->ledger, keeper->plan->hook_count);
    return stop;
}

/* ---- one hook ------------------------------------------------------------------------------ */

static int64_t remaining_ms(void *context)
{
    const uint64_t *until = context;
    uint64_t now = grace_kernel_now_ms();
    return now < *until ? (int64_t)(*until - now) : 0;
}

static void run_once(void *context, const struct grace_loaded_hook *hook, uint32_t attempt,
                     uint32_t timeout_ms, struct grace_attempt *result)
{
    static struct grace_environment environment;
    const struct grace_keeper *keeper = context;
    uint64_t until = grace_kernel_now_ms() + timeout_ms;
    struct grace_stop stop = grace_keeper_describe(keeper);
    stop.hook = hook->plan->name;
    stop.phase = grace_phase_name(hook->plan->phase);
    stop.attempt = (int32_t)attempt;
    stop.context = &until;
    stop.remaining_ms = remaining_ms;
    _Atomic int32_t running = 0;
    struct grace_command_result command;
    grace_command_run_for(&hook->command, grace_environment_fill(&environment, environ, &stop),
                          timeout_ms, keeper->pid, &running, &command);
    result->outcome = command.outcome;
    result->detail = command.detail;
}

static uint32_t time_for(void *context, const struct grace_hook_plan *hook)
{
    const struct grace_keeper *keeper = context;
    uint64_t now = grace_kernel_now_ms();
    uint64_t left = now < keeper->deadline_ms ? keeper->deadline_ms - now : 0;
    return left < hook->timeout_ms ? (uint32_t)left : hook->timeout_ms;
}

static bool never_cut(void *unused)
{
    (void)unused;
    return false;
}

bool grace_keeper_run(struct grace_keeper *keeper, size_t index, struct grace_keeper_run *run)
{
    const struct grace_loaded_hook *hook = &keeper->hooks[index];
    const struct grace_attempt_means means = {run_once, time_for, never_cut, keeper};
    if (keeper->ran[index] || hook->kind == GRACE_HOOK_INSIDE ||
        !grace_ledger_claim(keeper->ledger, index))
        return false;
    keeper->ran[index] = true;
    grace_servers_tell(keeper, index);
    uint64_t began = grace_kernel_now_us();
    run->attempts = grace_attempts_run(hook, &means, &run->result);
    run->duration_us = grace_kernel_now_us() - began;
    grace_ledger_finish(keeper->ledger, index, run->result.outcome, run->result.detail,
                        run->attempts);
    return true;
}

void grace_keeper_report(struct grace_keeper *keeper, size_t index,
                         const struct grace_keeper_run *run)
{
    grace_report_hook(keeper->hooks[index].plan, run->result.outcome, run->result.detail,
                      run->duration_us, run->attempts, run->result.error.text);
    if (run->result.outcome == GRACE_OUTCOME_DONE)
        keeper->done++;
    else
        keeper->failed++;
}

/* ---- all of them --------------------------------------------------------------------------- */

bool grace_keeper_owes(const struct grace_keeper *keeper, size_t index)
{
    const struct grace_loaded_hook *hook = &keeper->hooks[index];
    return hook->kind != GRACE_HOOK_INSIDE && !keeper->ran[index] &&
           (hook->plan->causes & GRACE_CAUSE_BIT(keeper->cause)) &&
           grace_ledger_owes(keeper->ledger, index);
}

/* Whether a hook with on_failure = "abort" failed so far, whoever ran it. */
static bool was_aborted(const struct grace_keeper *keeper)
{
    for (size_t i = 0; i < keeper->plan->hook_count; i++)
        if (keeper->plan->hooks[i].abort_on_failure &&
            grace_ledger_state(keeper->ledger, i) == GRACE_HOOK_DONE &&
            atomic_load(&keeper->ledger->hooks[i].outcome) != GRACE_OUTCOME_DONE)
            return true;
    return false;
}

static void finish_hook(struct grace_keeper *keeper, size_t index)
{
    const struct grace_loaded_hook *hook = &keeper->hooks[index];
    if (keeper->aborted || time_for(keeper, hook->plan) == 0) {
        if (!grace_ledger_skip(keeper->ledger, index))
            return;
        grace_report_skipped(
            hook->plan, keeper->aborted ? "a hook before it failed and says on_failure = \"abort\""
                                        : "the deadline has passed");
        keeper->skipped++;
        return;
    }
    struct grace_keeper_run run;
    if (!grace_keeper_run(keeper, index, &run))
        return;
    grace_keeper_report(keeper, index, &run);
    if (run.result.outcome != GRACE_OUTCOME_DONE && hook->plan->abort_on_failure)
        keeper->aborted = true;
}

void grace_keeper_run_all(struct grace_keeper *keeper)
{
    size_t due = 0;
    for (size_t i = 0; i < keeper->plan->hook_count; i++)
        due += grace_keeper_owes(keeper, i);
    if (due == 0)
        return;
    uint64_t began = grace_kernel_now_us();
    struct grace_report_begin begin = {.cause = keeper->cause,
                                       .signo = keeper->signo,
                                       .status = keeper->status,
                                       .sender_uid = -1,
                                       .hooks = due,
                                       .ended = true};
    grace_report_begin(&begin);
    keeper->aborted = was_aborted(keeper);
    for (size_t i = 0; i < keeper->plan->hook_count; i++)
        if (grace_keeper_owes(keeper, keeper->plan->order[i]))
            finish_hook(keeper, keeper->plan->order[i]);
    struct grace_report_end end = {.duration_us = grace_kernel_now_us() - began,
                                   .done = keeper->done,
                                   .failed = keeper->failed,
                                   .skipped = keeper->skipped,
                                   .then = "nothing is owed any more"};
    grace_report_end(&end);
}
