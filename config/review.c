/* Warnings about a plan that is right in itself, for `grace check`. */
#include <signal.h>
#include <stdio.h>

#include "duration.h"
#include "plan.h"

uint64_t grace_hook_longest_ms(const struct grace_hook_plan *hook)
{
    return (uint64_t)hook->timeout_ms * (hook->retries + 1u);
}

uint64_t grace_phase_longest_ms(const struct grace_plan *plan, enum grace_phase phase)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < plan->hook_count; i++)
        if (plan->hooks[i].phase == phase)
            sum += grace_hook_longest_ms(&plan->hooks[i]);
    if (phase == GRACE_PHASE_DRAIN && plan->drain.when != GRACE_DRAIN_NEVER)
        sum += (uint64_t)plan->drain.hold_ms + plan->drain.timeout_ms;
    return sum;
}

static void review_total(const struct grace_plan *plan, const char *file,
                         struct grace_problems *problems)
{
    char parts[160] = "", text[32], deadline[32];
    size_t length = 0;
    uint64_t total = 0;

    for (enum grace_phase phase = 0; phase < GRACE_PHASES; phase++) {
        uint64_t sum = grace_phase_longest_ms(plan, phase);
        total += sum;
        if (sum == 0)
            continue;
        grace_duration_format(sum, text, sizeof text);
        length += (size_t)snprintf(parts + length, sizeof parts - length, "%s%s %s",
                                   length == 0 ? "" : " + ", grace_phase_name(phase), text);
    }
    if (total <= plan->deadline_ms)
        return;
    grace_duration_format(total, text, sizeof text);
    grace_duration_format(plan->deadline_ms, deadline, sizeof deadline);
    grace_problem_add(
        problems, GRACE_WARNING, file, 0,
        "the phases may take %s (%s), the deadline is %s: what comes last may be cut; "
        "shorten timeouts or raise `deadline`",
        text, parts, deadline);
}

static void review_hooks(const struct grace_plan *plan, struct grace_problems *problems)
{
    char text[32], deadline[32];
    grace_duration_format(plan->deadline_ms, deadline, sizeof deadline);
    for (size_t i = 0; i < plan->hook_count; i++) {
        const struct grace_hook_plan *hook = &plan->hooks[i];
        if (hook->timeout_ms <= plan->deadline_ms)
            continue;
        grace_duration_format(hook->timeout_ms, text, sizeof text);
        grace_problem_add(problems, GRACE_WARNING, hook->file, hook->line,
                          "hook \"%s\": its timeout (%s) is longer than the deadline of the whole "
                          "stop (%s)",
                          hook->name, text, deadline);
    }
}

void grace_plan_review(const struct grace_plan *plan, struct grace_problems *problems)
{
    const char *file = plan->name != NULL ? plan->name : "built-in defaults";

    review_total(plan, file, problems);
    review_hooks(plan, problems);
    if (!(plan->signals & GRACE_SIGNAL_BIT(SIGTERM)))
        grace_problem_add(problems, GRACE_WARNING, file, 0,
                          "signals: without \"TERM\" a supervisor's stop runs no in-process hook");
}
