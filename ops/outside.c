/*
 * Leading a stop from outside.
 *
 * It goes as inside. A target without a handler for the signal: announce, drain, stop, and then the
 * signal, which ends it. One with a handler, or which blocks the signal to wait for it: announce,
 * then the signal, and stop hooks run when it has ended. A signal that it ignores, or handles and
 * that is not in `chain`, goes straight through. The conductor is a thread; the guardian runs the
 * hooks that it asks for, runs the rest when the target is gone, and keeps the deadline.
 */
#include "outside.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hooks/command.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/report.h"

enum { IDLE, CONDUCTING, FORWARDED };

/* The same signal within this time is the same stop: ^C to a group and a supervisor's TERM. */
#define SECOND_SIGNAL_AFTER_MS 500

/* How often the conductor looks whether there is anybody to wait for. */
#define LOOK_EVERY_MS 50

/* What the guardian may take above a hook's own time. */
#define ANSWER_SLACK_MS 2000

/* ---- what the target does with a signal ------------------------------------------------------ */

enum disposition { DEFAULT, HANDLED, IGNORED };

static uint64_t mask_in(const char *status, const char *name)
{
    unsigned long long mask = 0;
    const char *at = strstr(status, name);
    if (at != NULL)
        sscanf(at + strlen(name), "%llx", &mask);
    return mask;
}

/* Blocked counts as handled: that is how sigwait and signalfd are used. */
static enum disposition disposition_of(pid_t pid, int signo)
{
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return HANDLED;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const uint64_t bit = GRACE_SIGNAL_BIT(signo);
    if (mask_in(text, "\nSigIgn:") & bit)
        return IGNORED;
    return (mask_in(text, "\nSigCgt:") | mask_in(text, "\nSigBlk:")) & bit ? HANDLED : DEFAULT;
}

/* ---- the conductor -------------------------------------------------------------------------- */

static bool is_due(const struct grace_outside *outside, size_t index)
{
    const struct grace_hook_plan *hook = &outside->plan->hooks[index];
    return !outside->notes[index].inside && (hook->causes & GRACE_CAUSE_BIT(GRACE_CAUSE_SIGNAL)) &&
           grace_ledger_owes(outside->ledger, index);
}

static int sender_of(const siginfo_t *info)
{
    return info->si_code <= 0 ? info->si_pid : 0;
}

static void tell_guardian(struct grace_outside *outside)
{
    struct grace_ledger *ledger = outside->ledger;
    const siginfo_t *info = &outside->info;
    atomic_store(&ledger->cause, GRACE_CAUSE_SIGNAL);
    atomic_store(&ledger->signo, info->si_signo);
    atomic_store(&ledger->status, -1);
    atomic_store(&ledger->sender_pid, sender_of(info));
    atomic_store(&ledger->sender_uid, info->si_code <= 0 ? (int32_t)info->si_uid : -1);
    atomic_store(&ledger->began_ms, outside->began_ms);
    atomic_store(&ledger->stage, outside->led ? GRACE_STAGE_LED : GRACE_STAGE_CHAINED);
    grace_ledger_ring(&ledger->asked);
}

static void log_begin(const struct grace_outside *outside)
{
    struct grace_report_begin begin = {.cause = GRACE_CAUSE_SIGNAL,
                                       .signo = outside->info.si_signo,
                                       .status = -1,
                                       .sender_pid = sender_of(&outside->info),
                                       .sender_uid = atomic_load(&outside->ledger->sender_uid)};
    for (size_t i = 0; i < outside->plan->hook_count; i++)
        begin.hooks += is_due(outside, i);
    grace_report_begin(&begin);
}

static bool is_to_stop_waiting(const struct grace_outside *outside)
{
    return atomic_load(&outside->is_cut) || outside->target() == 0;
}

/* Until the guardian has run it. False: we wait no longer, and it runs it when it comes to it. */
static bool wait_for(struct grace_outside *outside, size_t index, uint64_t limit_ms)
{
    struct grace_ledger *ledger = outside->ledger;
    for (;;) {
        uint32_t seen = atomic_load(&ledger->answered);
        enum grace_hook_state state = grace_ledger_state(ledger, index);
        if (state == GRACE_HOOK_DONE || state == GRACE_HOOK_SKIPPED)
            return state == GRACE_HOOK_DONE && outside->target() != 0;
        if (is_to_stop_waiting(outside) || grace_kernel_now_ms() >= limit_ms)
            return false;
        grace_ledger_wait(&ledger->answered, seen, LOOK_EVERY_MS);
    }
}

struct tally {
    unsigned done, failed;
    bool aborted;
};

static void run_hook(struct grace_outside *outside, size_t index, struct tally *tally)
{
    const struct grace_hook_plan *hook = &outside->plan->hooks[index];
    const struct grace_ledger_hook *entry = &outside->ledger->hooks[index];
    uint64_t deadline = outside->began_ms + outside->plan->deadline_ms;
    uint64_t began = grace_kernel_now_us();
    uint64_t limit = began / 1000 + grace_hook_longest_ms(hook);
    if (!grace_ledger_ask(outside->ledger, index))
        return;
    grace_ledger_ring(&outside->ledger->asked);
    if (!wait_for(outside, index, (limit < deadline ? limit : deadline) + ANSWER_SLACK_MS))
        return;
    enum grace_outcome outcome = (enum grace_outcome)atomic_load(&entry->outcome);
    grace_report_hook(hook, outcome, atomic_load(&entry->detail), grace_kernel_now_us() - began,
                      atomic_load(&entry->attempts), NULL);
    if (outcome == GRACE_OUTCOME_DONE) {
        tally->done++;
        return;
    }
    tally->failed++;
    tally->aborted = hook->abort_on_failure;
}

/* Hooks that are left, for whatever reason, are the guardian's. */
static void run_hooks(struct grace_outside *outside, struct tally *tally)
{
    const struct grace_plan *plan = outside->plan;
    enum grace_phase last = outside->led ? GRACE_PHASE_STOP : GRACE_PHASE_ANNOUNCE;
    for (size_t i = 0; i < plan->hook_count; i++) {
        size_t index = plan->order[i];
        if (tally->aborted || is_to_stop_waiting(outside) ||
            grace_kernel_now_ms() >= outside->began_ms + plan->deadline_ms)
            return;
        if (plan->hooks[index].phase <= last && is_due(outside, index))
            run_hook(outside, index, tally);
    }
}

static void *conduct(void *argument)
{
    struct grace_outside *outside = argument;
    struct tally tally = {.done = 0};
    run_hooks(outside, &tally);
    if (outside->led && tally.done + tally.failed > 0 && outside->target() != 0) {
        struct grace_report_end end = {.duration_us =
                                           (grace_kernel_now_ms() - outside->began_ms) * 1000,
                                       .done = tally.done,
                                       .failed = tally.failed,
                                       .then = "the signal takes its course"};
        grace_report_end(&end);
    }
    atomic_store(&outside->state, FORWARDED);
    outside->forward(&outside->info);
    return NULL;
}

static void begin(struct grace_outside *outside, const siginfo_t *info, bool led)
{
    pthread_t thread;
    outside->info = *info;
    outside->led = led;
    outside->began_ms = grace_kernel_now_ms();
    grace_log_speak_for(outside->target()); /* it may be a daemon by now */
    tell_guardian(outside);
    log_begin(outside);
    atomic_store(&outside->state, CONDUCTING);
    /* Every signal is blocked here, and so in the thread. */
    if (pthread_create(&thread, NULL, conduct, outside) == 0)
        pthread_detach(thread);
    else
        conduct(outside);
}

/* ---- signals -------------------------------------------------------------------------------- */

static bool takes_first(struct grace_outside *outside, const siginfo_t *info)
{
    int signo = info->si_signo;
    int as = outside->plan->deliver[signo] != 0 ? outside->plan->deliver[signo] : signo;
    if (!(outside->plan->signals & GRACE_SIGNAL_BIT(signo)))
        return false;
    pid_t target = outside->target();
    enum disposition disposition = target != 0 ? disposition_of(target, as) : IGNORED;
    if (disposition == IGNORED ||
        (disposition == HANDLED && !(outside->plan->chain & GRACE_SIGNAL_BIT(signo))))
        return false;
    begin(outside, info, disposition == DEFAULT);
    return true;
}

bool grace_outside_takes(struct grace_outside *outside, const siginfo_t *info)
{
    int signo = info->si_signo;
    uint32_t state = atomic_load(&outside->state);
    if (outside->ledger == NULL || signo > 64)
        return false;
    if (state == IDLE)
        return takes_first(outside, info);
    if (!(outside->plan->signals & GRACE_SIGNAL_BIT(signo)))
        return false;
    if (signo == outside->info.si_signo &&
        grace_kernel_now_ms() < outside->began_ms + SECOND_SIGNAL_AFTER_MS)
        return true;
    if (state == FORWARDED)
        return false;
    if (outside->plan->second_signal == GRACE_SECOND_FORCE)
        atomic_store(&outside->is_cut, true);
    return true;
}

bool grace_outside_led(const struct grace_outside *outside)
{
    return atomic_load(&outside->state) != IDLE && outside->led;
}
