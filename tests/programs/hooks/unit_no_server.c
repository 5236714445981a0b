/* Says that it serves, and does not. */
#include <grace_hook.h>

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    (void)state, (void)stop, (void)error;
    return 0;
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {GRACE_HOOK_ABI,
                                                        sizeof grace_hook,
                                                        GRACE_HOOK_SERVES,
                                                        0,
                                                        "no-server",
                                                        "serves nobody",
                                                        NULL,
                                                        run,
                                                        NULL};
