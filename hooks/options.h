/* A plugin's options: handing them to configure(), and telling the user what was wrong with them.
 */
#ifndef GRACE_HOOKS_OPTIONS_H
#define GRACE_HOOKS_OPTIONS_H

#include "config/plan.h"
#include "grace_hook.h"

/*
 * Have the hook read the options of the plan. Returns 0 with *state set, or -1 with the error set:
 * an option of the wrong type, what configure() itself said, or one that it did not ask for. Not
 * async-signal-safe; not for two threads at once.
 */
int grace_options_configure(const struct grace_hook *hook, const struct grace_hook_plan *plan,
                            void **state, struct grace_error *error);

#endif
