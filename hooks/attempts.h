/* A hook, tried as often as the config allows. The same for whoever runs it. */
#ifndef GRACE_HOOKS_ATTEMPTS_H
#define GRACE_HOOKS_ATTEMPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "hook.h"

struct grace_attempt {
    enum grace_outcome outcome;
    int detail;
    struct grace_error error; /* a plugin's own words, or "" */
};

/* How one try is made, and how much time there is for it. */
struct grace_attempt_means {
    void (*once)(void *context, const struct grace_loaded_hook *hook, uint32_t attempt,
                 uint32_t timeout_ms, struct grace_attempt *result);
    uint32_t (*time_for)(void *context, const struct grace_hook_plan *hook); /* ms; 0: none left */
    bool (*is_cut)(void *context); /* no further try, please */
    void *context;
};

/* Try the hook until it is done, or its retries or its time are used up. Returns how many tries
 * that took; the result is that of the last. As async-signal-safe as `once`. */
uint32_t grace_attempts_run(const struct grace_loaded_hook *hook,
                            const struct grace_attempt_means *means, struct grace_attempt *result);

#endif
