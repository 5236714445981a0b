/* How long a plugin may wait for the other side, so that it is the plugin that tells why nothing
 * came, and not the runner that it was killed. */
#ifndef GRACE_HOOKS_PARTS_PATIENCE_H
#define GRACE_HOOKS_PARTS_PATIENCE_H

#include "hooks/grace_hook.h"

/* The runner's TERM comes 250 ms before the hook's time is up, or at its half. */
#define GRACE_PATIENCE_RESERVE_MS 350

static inline int64_t grace_patience_ms(const struct grace_stop *stop)
{
    int64_t remaining = grace_stop_remaining_ms(stop);
    if (remaining > 3 * GRACE_PATIENCE_RESERVE_MS)
        return remaining - GRACE_PATIENCE_RESERVE_MS;
    return remaining * 2 / 5 + 1;
}

#endif
