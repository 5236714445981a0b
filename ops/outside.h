/*
 * A stop led from outside: for a target that libgrace.so cannot be in. Its parent sees the stop
 * signals that are sent to itself, and keeps them back until the announcement is over.
 */
#ifndef GRACE_OPS_OUTSIDE_H
#define GRACE_OPS_OUTSIDE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/plan.h"
#include "hooks/ledger.h"
#include "plan_print.h"

struct grace_outside {
    const struct grace_plan *plan;
    const struct grace_hook_note *notes;
    struct grace_ledger *ledger;
    /* Both are called in the conductor's thread, too. */
    pid_t (*target)(void); /* whom signals are for; 0: nobody lives */
    void (*forward)(const siginfo_t *info);

    _Atomic uint32_t state; /* see outside.c */
    _Atomic bool is_cut;    /* a second signal: no more waiting */
    siginfo_t info;         /* the signal that began it */
    uint64_t began_ms;
    bool led; /* the target has no handler of its own: the stop is ours to lead */
};

/* Whether this stop deals with a signal that came for the target; false: pass it on now. */
bool grace_outside_takes(struct grace_outside *outside, const siginfo_t *info);

/* Whether a signal has begun a stop that is led from here. */
bool grace_outside_led(const struct grace_outside *outside);

#endif
