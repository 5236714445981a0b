/*
 * `grace run` that stays: the target's parent, as PID 1 of a container or with --init. See init.c.
 */
#ifndef GRACE_OPS_INIT_H
#define GRACE_OPS_INIT_H

#include <stdbool.h>

#include "config/plan.h"
#include "plan_print.h"

struct grace_init_order {
    const char *path;  /* what is executed */
    char *const *argv; /* … with these words and this environment */
    char *const *environment;
    const char *program; /* the target's name */
    const struct grace_plan *plan;
    const struct grace_hook_note *notes; /* in the order of plan->hooks */
    bool guarded;                        /* the hooks of this plan are the target's */
    bool outside;                        /* libgrace cannot be in it: its stop is led from here */
    bool group;                          /* signals go to the target's whole process group */
    const char *termination_log;         /* NULL: none */
};

/*
 * Start the target and stay until it, and the guardian after it, are gone. Returns the exit status:
 * the target's, as PID 1 128 + n when it was killed by signal n, 126 or 127 when it could not be
 * started. Not as PID 1 it does not return then, but dies by that signal. Call with one thread.
 */
int grace_init(const struct grace_init_order *order);

#endif
