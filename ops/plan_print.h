/* Showing a plan: as a table for people, as JSON for machines. */
#ifndef GRACE_OPS_PLAN_PRINT_H
#define GRACE_OPS_PLAN_PRINT_H

#include <stdio.h>

#include "config/plan.h"
#include "platform.h"

/* What `grace check` learned about a hook, in the order of plan->hooks. */
struct grace_hook_note {
    const char *kind; /* "command", "in-process", "external"; "?" when it cannot be told */
    bool inside;      /* in-process: what runs beside the target cannot run it */
};

/* The hooks in the order in which they run, each phase's sum, and the total. */
void grace_plan_print(const struct grace_plan *plan, const struct grace_hook_note *notes,
                      bool colour, FILE *to);

/* One line more: how long the platform waits, and how long a stop may take. */
void grace_plan_print_platform(const struct grace_plan *plan, const struct grace_platform *platform,
                               uint32_t limit_ms, FILE *to);

/* One object: file, problems, hooks, phases, total, platform. `plan` and `platform` may be NULL. */
void grace_plan_print_json(const struct grace_plan *plan, const struct grace_hook_note *notes,
                           const struct grace_platform *platform, uint32_t limit_ms,
                           const struct grace_problems *problems, FILE *to);

#endif
