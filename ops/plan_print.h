/* Showing a plan: as a table for people, as JSON for machines. */
#ifndef GRACE_OPS_PLAN_PRINT_H
#define GRACE_OPS_PLAN_PRINT_H

#include <stdio.h>

#include "config/plan.h"

/* What `grace check` learned about a hook, in the order of plan->hooks. */
struct grace_hook_note {
    const char *kind; /* "command", "in-process", "external"; "?" when it cannot be told */
    bool inside;      /* in-process: what runs beside the target cannot run it */
};

/* The hooks in the order in which they run, each phase's sum, and the total. */
void grace_plan_print(const struct grace_plan *plan, const struct grace_hook_note *notes,
                      bool colour, FILE *to);

/* One object: file, problems, hooks, phases, total. `plan` may be NULL. */
void grace_plan_print_json(const struct grace_plan *plan, const struct grace_hook_note *notes,
                           const struct grace_problems *problems, FILE *to);

#endif
