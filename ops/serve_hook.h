/* The part of a plugin that runs from the target's start: `grace run-hook --serve`. */
#ifndef GRACE_OPS_SERVE_HOOK_H
#define GRACE_OPS_SERVE_HOOK_H

#include "config/plan.h"

/*
 * Serve in this process until its standard input ends. `file` is the plugin's, `program` and `pid`
 * the target's, for the log. Returns the exit status: 0, 1 the hook failed, 78 it cannot be loaded.
 */
int grace_serve_hook(const struct grace_plan *plan, const struct grace_hook_plan *hook,
                     const char *file, const char *program, int pid);

#endif
