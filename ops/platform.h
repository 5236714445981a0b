/* Whoever stops the service, and how long it waits before it kills. */
#ifndef GRACE_OPS_PLATFORM_H
#define GRACE_OPS_PLATFORM_H

#include <stdint.h>

#include "config/plan.h"

struct grace_platform {
    const char *name;
    uint32_t limit_ms;   /* its default */
    const char *setting; /* what sets it */
};

/* "kubernetes", "systemd", "docker"; NULL for another name. */
const struct grace_platform *grace_platform_find(const char *name);

/* The longest that a stop may take until nothing of it is left: what runs while the target lives
 * ends by the deadline, and what runs afterwards has the deadline once more. In milliseconds. */
uint64_t grace_platform_longest_ms(const struct grace_plan *plan);

/* Warn where the platform would kill before a stop is over. */
void grace_platform_review(const struct grace_platform *platform, uint32_t limit_ms,
                           const struct grace_plan *plan, struct grace_problems *problems);

#endif
