/* The stop as the environment of a hook's process tells of it; see hooks/command.h. */
#ifndef GRACE_OPS_TOLD_H
#define GRACE_OPS_TOLD_H

#include "hooks/grace_hook.h"

/* Its strings are the environment's. `until` is set, and must live as long as the result: it is
 * when the time that is left will be over. */
struct grace_stop grace_told_stop(uint64_t *until);

#endif
