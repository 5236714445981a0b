#include "attempts.h"

uint32_t grace_attempts_run(const struct grace_loaded_hook *hook,
                            const struct grace_attempt_means *means, struct grace_attempt *result)
{
    result->outcome = GRACE_OUTCOME_NOT_STARTED;
    result->detail = 0;
    if (hook->kind == GRACE_HOOK_BROKEN) {
        result->error = hook->error;
        return 1;
    }
    uint32_t attempts = 0;
    do {
        result->error.text[0] = '\0';
        uint32_t timeout_ms = means->time_for(means->context, hook->plan);
        means->once(means->context, hook, ++attempts, timeout_ms, result);
    } while (result->outcome != GRACE_OUTCOME_DONE && attempts <= hook->plan->retries &&
             means->time_for(means->context, hook->plan) > 0 && !means->is_cut(means->context));
    return attempts;
}
