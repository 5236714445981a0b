/* An in-process hook that does nothing but write down when it ran. */
#include "hooks/grace_hook.h"

#include "stamp.h"

static volatile struct stamps *stamps;

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    (void)options;
    (void)state;
    if (stamps == NULL)
        stamps = stamps_map(getenv(STAMPS_VARIABLE));
    return stamps != NULL ? 0 : grace_error_set(error, "no " STAMPS_VARIABLE);
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    (void)state;
    (void)stop;
    (void)error;
    stamps_add(stamps);
    return 0;
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {GRACE_HOOK_ABI,
                                                        sizeof grace_hook,
                                                        GRACE_HOOK_IN_PROCESS,
                                                        0,
                                                        "stamp",
                                                        "benchmark",
                                                        configure,
                                                        run,
                                                        NULL};
