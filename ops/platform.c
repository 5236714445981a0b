#include "platform.h"

#include <string.h>

#include "config/duration.h"

static const struct grace_platform platforms[] = {
    {"kubernetes", 30000, "terminationGracePeriodSeconds"},
    {"systemd", 90000, "TimeoutStopSec"},
    {"docker", 10000, "docker stop -t, or stop_grace_period"},
};

const struct grace_platform *grace_platform_find(const char *name)
{
    for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++)
        if (strcmp(platforms[i].name, name) == 0)
            return &platforms[i];
    return NULL;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t grace_platform_longest_ms(const struct grace_plan *plan)
{
    uint64_t during = 0;
    for (enum grace_phase phase = 0; phase < GRACE_PHASE_CLEANUP; phase++)
        during += grace_phase_longest_ms(plan, phase);
    return least(during, plan->deadline_ms) +
           least(grace_phase_longest_ms(plan, GRACE_PHASE_CLEANUP), plan->deadline_ms);
}

void grace_platform_review(const struct grace_platform *platform, uint32_t limit_ms,
                           const struct grace_plan *plan, struct grace_problems *problems)
{
    char limit[32], deadline[32], longest[32];
    const char *file = plan->name != NULL ? plan->name : plan->file;
    uint64_t longest_ms = grace_platform_longest_ms(plan);
    grace_duration_format(limit_ms, limit, sizeof limit);
    grace_duration_format(plan->deadline_ms, deadline, sizeof deadline);
    grace_duration_format(longest_ms, longest, sizeof longest);
    if (longest_ms > limit_ms)
        grace_problem_add(problems, GRACE_WARNING, file, 0,
                          "a stop may take %s, and %s kills everything after %s: shorten timeouts, "
                          "or raise %s",
                          longest, platform->name, limit, platform->setting);
    if (plan->deadline_ms >= limit_ms)
        grace_problem_add(problems, GRACE_WARNING, file, 0,
                          "the deadline is %s, and %s kills everything after %s: a target that is "
                          "stuck takes its hooks along; lower `deadline`, or raise %s",
                          deadline, platform->name, limit, platform->setting);
}
