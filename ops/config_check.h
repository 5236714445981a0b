/* Looking at a config beyond its own words. */
#ifndef GRACE_OPS_CONFIG_CHECK_H
#define GRACE_OPS_CONFIG_CHECK_H

#include "config/plan.h"
#include "plan_print.h"

/* Get every hook of the plan ready, as a start would, and add what is missing to `problems`:
 * programs, users, plugins, wrong options. Loads plugins into this process. `notes` has room for
 * every hook. */
void grace_config_check_hooks(const struct grace_plan *plan, struct grace_hook_note *notes,
                              struct grace_problems *problems);

/* All of them on stderr, a line each. */
void grace_config_print_problems(const struct grace_problems *problems);

#endif
