/*
 * Leading a stop: the hooks that are owed, phase by phase, each within its own time and all within
 * the deadline, with a line in the log for each.
 *
 * One thread at a time is in here (stop.c holds the lead). With `in_process` false it may be a
 * signal handler over any code of libc's: then nothing here allocates, locks or waits for another
 * thread.
 */
#include "shim.h"

#include <string.h>

#include "guardian.h"
#include "hooks/attempts.h"
#include "hooks/command.h"
#include "hooks/log.h"
#include "hooks/report.h"
#include "hooks/room.h"
#include "hooks/story.h"
#include "raw.h"

/* How the hooks went so far, for the next one: counted through once, then kept up to date, or a
 * thousand hooks would be counted a thousand times. */
static struct grace_stop so_far;

static struct {
    bool announced; /* the first line is in the log */
    bool aborted;   /* a hook with on_failure = "abort" failed */
    unsigned done, failed, skipped, left;
} tally;

#define GUARDIAN_DIED "the guardian died while it ran; it is not run again"

static struct grace_environment environment GRACE_ROOM(environment); /* 64 KiB: not for a stack */

static uint64_t deadline_ms(void)
{
    return grace_stop_facts()->began_ms + grace_shim.plan->deadline_ms;
}

/* Milliseconds for a hook: its own timeout, or what the deadline leaves. */
static uint32_t time_for(void *unused, const struct grace_hook_plan *hook)
{
    (void)unused;
    uint64_t now = grace_now_ms(), end = deadline_ms();
    uint64_t left = now < end ? end - now : 0;
    return left < hook->timeout_ms ? (uint32_t)left : hook->timeout_ms;
}

/* ---- in-process hooks ---------------------------------------------------------------------- */

struct inside_call {
    const struct grace_loaded_hook *hook;
    uint64_t until_ms;
    struct grace_stop stop;
    struct grace_error error;
};
_Static_assert(sizeof(struct inside_call) <= GRACE_WORK_MAX, "a worker's argument holds a call");

static int64_t remaining_ms(void *context)
{
    const struct inside_call *call = context;
    uint64_t now = grace_now_ms();
    return now < call->until_ms ? (int64_t)(call->until_ms - now) : 0;
}

static void log_for_hook(void *context, int level, const char *text)
{
    const struct inside_call *call = context;
    struct grace_log_line line;
    grace_log_begin(&line, (enum grace_log_level)level, "hook-output");
    grace_log_say(&line, "hook \"%s\": %s", call->stop.hook, text);
    grace_log_field(&line, "hook", call->stop.hook);
    grace_log_end(&line);
}

static int call_inside(void *argument)
{
    struct inside_call *call = argument;
    call->stop.context = call; /* the worker's own copy */
    const struct grace_plugin *plugin = &call->hook->plugin;
    return plugin->hook->run(plugin->state, &call->stop, &call->error);
}

/* ---- one hook ------------------------------------------------------------------------------ */

static struct grace_stop describe(const struct grace_hook_plan *hook, uint32_t attempt)
{
    const struct grace_stop_facts *facts = grace_stop_facts();
    struct grace_stop stop = {
        .size = sizeof(struct grace_stop),
        .program = grace_shim.program,
        .hook = hook->name,
        .phase = grace_phase_name(hook->phase),
        .cause = grace_cause_name(facts->cause),
        .pid = grace_getpid(),
        .signo = facts->signo,
        .exit_status = facts->status,
        .sender_pid = facts->sender_pid,
        .sender_uid = facts->sender_uid,
        .attempt = (int32_t)attempt,
        .remaining_ms = remaining_ms,
        .log = log_for_hook,
        .log_file = grace_shim.plan->log.path,
    };
    grace_story_add_counts(&stop, grace_shim.ledger, 0);
    stop.hooks_done = so_far.hooks_done;
    stop.hooks_failed = so_far.hooks_failed;
    stop.hooks_skipped = so_far.hooks_skipped;
    return stop;
}

static void run_inside(const struct grace_loaded_hook *hook, uint32_t attempt, uint32_t timeout_ms,
                       struct grace_attempt *result)
{
    struct inside_call call = {.hook = hook,
                               .until_ms = grace_now_ms() + timeout_ms,
                               .stop = describe(hook->plan, attempt),
                               .error = {.size = sizeof(struct grace_error)}};
    result->outcome =
        grace_worker_run(call_inside, &call, sizeof call, timeout_ms, &result->detail);
    if (result->outcome == GRACE_OUTCOME_ERROR)
        result->error = call.error;
}

static void run_command(const struct grace_loaded_hook *hook, uint32_t attempt, uint32_t timeout_ms,
                        struct grace_attempt *result)
{
    struct grace_stop stop = describe(hook->plan, attempt);
    struct inside_call time = {.until_ms = grace_now_ms() + timeout_ms};
    stop.context = &time;
    char *const *envp = grace_environment_fill(&environment, grace_shim.environment, &stop);
    struct grace_command_result command;
    grace_command_run_aside(&hook->command, envp, timeout_ms, &command);
    result->outcome = command.outcome;
    result->detail = command.detail;
}

static void run_once(void *unused, const struct grace_loaded_hook *hook, uint32_t attempt,
                     uint32_t timeout_ms, struct grace_attempt *result)
{
    (void)unused;
    if (hook->kind == GRACE_HOOK_INSIDE)
        run_inside(hook, attempt, timeout_ms, result);
    else
        run_command(hook, attempt, timeout_ms, result);
}

static bool is_cut(void *unused)
{
    (void)unused;
    return grace_stop_is_cut();
}

/* Work for within the target: its own memory, or a hook of which only here is known why it fails.
 */
static bool is_ours(size_t index)
{
    enum grace_hook_kind kind = grace_shim.hooks[index].kind;
    return kind == GRACE_HOOK_INSIDE || kind == GRACE_HOOK_BROKEN;
}

/* ---- who runs it --------------------------------------------------------------------------- */

static void account(const struct grace_loaded_hook *hook, const struct grace_attempt *result,
                    uint64_t began_us, uint32_t attempts)
{
    grace_report_hook(hook->plan, result->outcome, result->detail, grace_now_us() - began_us,
                      attempts, result->error.text);
    if (result->outcome == GRACE_OUTCOME_DONE) {
        tally.done++;
        so_far.hooks_done++;
        return;
    }
    tally.failed++;
    so_far.hooks_failed++;
    if (hook->plan->abort_on_failure)
        tally.aborted = true;
}

static void count_so_far(void)
{
    grace_story_add_counts(&so_far, grace_shim.ledger, grace_shim.plan->hook_count);
}

/* Here, in the target: every in-process hook, and external ones when there is no guardian. */
static void run_here(const struct grace_loaded_hook *hook, size_t index)
{
    static const struct grace_attempt_means means = {run_once, time_for, is_cut, NULL};
    struct grace_attempt result;
    if (!grace_ledger_claim(grace_shim.ledger, index))
        return;
    uint64_t began = grace_now_us();
    uint32_t attempts = grace_attempts_run(hook, &means, &result);
    grace_ledger_finish(grace_shim.ledger, index, result.outcome, result.detail, attempts);
    account(hook, &result, began, attempts);
}

/* The longest that the guardian may need: all tries, within the deadline. */
static uint32_t limit_for(const struct grace_hook_plan *hook)
{
    uint64_t tries = (uint64_t)hook->timeout_ms * (hook->retries + 1), now = grace_now_ms();
    uint64_t left = deadline_ms() > now ? deadline_ms() - now : 0;
    return (uint32_t)(tries < left ? tries : left);
}

static void leave_to_guardian(const struct grace_loaded_hook *hook, const char *why)
{
    grace_log(GRACE_LOG_INFO, "hook", "hook \"%s\" (%s) left to the guardian: %s", hook->plan->name,
              grace_phase_name(hook->plan->phase), why);
    tally.left++;
}

static void run_beside(const struct grace_loaded_hook *hook, size_t index)
{
    struct grace_attempt result = {.outcome = GRACE_OUTCOME_SKIPPED};
    uint64_t began = grace_now_us();
    switch (grace_guardian_ask(index, limit_for(hook->plan))) {
    case GRACE_ANSWER_GIVEN_BACK:
        run_here(hook, index);
        return;
    case GRACE_ANSWER_LEFT:
        leave_to_guardian(hook, "the stop was cut short");
        return;
    case GRACE_ANSWER_DIED:
        result.outcome = GRACE_OUTCOME_ERROR;
        memcpy(result.error.text, GUARDIAN_DIED, sizeof GUARDIAN_DIED);
        account(hook, &result, began, 1);
        return;
    case GRACE_ANSWER_OVER:
        break;
    }
    const struct grace_ledger_hook *entry = &grace_shim.ledger->hooks[index];
    if (grace_ledger_state(grace_shim.ledger, index) != GRACE_HOOK_DONE) {
        count_so_far();
        return; /* somebody else's, or written off */
    }
    result.outcome = (enum grace_outcome)atomic_load(&entry->outcome);
    result.detail = atomic_load(&entry->detail);
    account(hook, &result, began, atomic_load(&entry->attempts));
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Why a hook that is owed cannot run now; NULL when it can. */
static const char *obstacle(bool inside, bool in_process)
{
    if (inside && !in_process)
        return "the target may hold a lock here; only external hooks are safe";
    if (inside && grace_stop_is_cut())
        return "a second stop signal cut the stop short";
    if (grace_now_ms() >= deadline_ms())
        return "the deadline has passed";
    return NULL;
}

static bool applies(const struct grace_hook_plan *hook, enum grace_cause cause)
{
    return (hook->causes & GRACE_CAUSE_BIT(cause)) != 0;
}

static void skip(const struct grace_loaded_hook *hook, size_t index, const char *why)
{
    if (!grace_ledger_skip(grace_shim.ledger, index))
        return;
    grace_report_skipped(hook->plan, why);
    tally.skipped++;
    so_far.hooks_skipped++;
}

static void conduct_one(size_t index, bool in_process)
{
    const struct grace_loaded_hook *hook = &grace_shim.hooks[index];
    bool inside = hook->kind == GRACE_HOOK_INSIDE;
    if (tally.aborted) {
        skip(hook, index, "a hook before it failed and says on_failure = \"abort\"");
        return;
    }
    const char *why_not = obstacle(inside, in_process);
    if (is_ours(index) || !grace_guardian_serves()) {
        if (why_not != NULL)
            skip(hook, index, why_not);
        else
            run_here(hook, index);
        return;
    }
    if (!grace_guardian_in_reach())
        why_not = "it is out of reach since the target became another user";
    if (grace_stop_is_cut())
        why_not = "the stop was cut short";
    if (why_not != NULL)
        leave_to_guardian(hook, why_not);
    else
        run_beside(hook, index);
}

/* The guardian runs what is to run when the target is gone. */
static bool runs_later(size_t index)
{
    return grace_shim.plan->hooks[index].phase == GRACE_PHASE_CLEANUP && !tally.aborted &&
           !is_ours(index) && grace_guardian_serves();
}

void grace_conduct(enum grace_phase first, enum grace_phase last, bool in_process)
{
    enum grace_cause cause = grace_stop_facts()->cause;
    count_so_far();
    for (size_t i = 0; i < grace_shim.plan->hook_count; i++) {
        size_t index = grace_shim.plan->order[i];
        const struct grace_hook_plan *hook = &grace_shim.plan->hooks[index];
        if (hook->phase == GRACE_PHASE_ANNOUNCE && grace_stop_is_wanted_back())
            continue; /* what has run has run */
        if (hook->phase >= first && hook->phase <= last && !runs_later(index) &&
            applies(hook, cause) && grace_ledger_owes(grace_shim.ledger, index))
            conduct_one(index, in_process);
    }
}

static size_t count_work(enum grace_phase first, enum grace_phase last, enum grace_cause cause,
                         bool later_too)
{
    size_t count = 0;
    for (size_t i = 0; i < grace_shim.plan->hook_count; i++) {
        const struct grace_hook_plan *hook = &grace_shim.plan->hooks[i];
        count += hook->phase >= first && hook->phase <= last && applies(hook, cause) &&
                 grace_ledger_owes(grace_shim.ledger, i) && (later_too || !runs_later(i));
    }
    return count;
}

bool grace_conductor_has_work(enum grace_phase first, enum grace_phase last, enum grace_cause cause)
{
    return count_work(first, last, cause, false) > 0;
}

void grace_conductor_prepare(void)
{
    for (size_t i = 0; i < grace_shim.plan->hook_count; i++)
        if (grace_shim.hooks[i].kind == GRACE_HOOK_INSIDE &&
            grace_ledger_owes(grace_shim.ledger, i)) {
            grace_worker_prepare();
            return;
        }
}

/* ---- the first line and the last ----------------------------------------------------------- */

void grace_conductor_log_begin(void)
{
    if (tally.announced)
        return;
    tally.announced = true;
    const struct grace_stop_facts *facts = grace_stop_facts();
    struct grace_report_begin begin = {
        .cause = facts->cause,
        .signo = facts->signo,
        .status = facts->status,
        .sender_pid = facts->sender_pid,
        .sender_uid = facts->sender_uid,
        .hooks = count_work(GRACE_PHASE_ANNOUNCE, GRACE_PHASE_CLEANUP, facts->cause, true),
    };
    grace_report_begin(&begin);
}

void grace_conductor_forget(void)
{
    memset(&tally, 0, sizeof tally);
    grace_worker_stand_down();
}

void grace_conductor_log_end(void)
{
    if (tally.done + tally.failed + tally.skipped + tally.left == 0)
        return; /* the first line said all there is */
    struct grace_report_end end = {
        .duration_us = (grace_now_ms() - grace_stop_facts()->began_ms) * 1000,
        .done = tally.done,
        .failed = tally.failed,
        .skipped = tally.skipped,
        .then = grace_end_description(),
    };
    grace_report_end(&end);
    grace_worker_stand_down();
}
