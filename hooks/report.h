/* The log's lines about a stop, the same whoever leads it. Async-signal-safe. */
#ifndef GRACE_HOOKS_REPORT_H
#define GRACE_HOOKS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "config/plan.h"

struct grace_report_begin {
    enum grace_cause cause;
    int signo;
    int status;     /* -1: not known */
    int sender_pid; /* 0: not known */
    int sender_uid; /* -1: not known */
    size_t hooks;   /* how many are to run */
    bool ended;     /* the target is gone already */
};
void grace_report_begin(const struct grace_report_begin *begin);

/* One hook is over; `error` is a plugin's own words or NULL. */
void grace_report_hook(const struct grace_hook_plan *hook, enum grace_outcome outcome, int detail,
                       uint64_t duration_us, uint32_t attempts, const char *error);

/* One hook was not run, and why. */
void grace_report_skipped(const struct grace_hook_plan *hook, const char *why);

struct grace_report_end {
    uint64_t duration_us;
    unsigned done, failed, skipped;
    const char *then; /* what comes now: "SIGTERM takes its course" */
};
void grace_report_end(const struct grace_report_end *end);

#endif
