/*
 * Hooks that have work to do before the stop: each such plugin runs from the target's start in a
 * process of its own, a child of the guardian's, `grace run-hook --serve`.
 *
 * All that the guardian has of one is the end of a pipe. A byte in it says that the hook's turn has
 * come; its being closed, as the guardian ends however it ends, says that all is over. So nothing
 * here wakes the guardian, and no server outlives it.
 */
#ifndef GRACE_OPS_SERVERS_H
#define GRACE_OPS_SERVERS_H

#include "keeper.h"

/*
 * Start a server for each hook that serves. They have the caller's stderr, for what keeps them from
 * beginning. What cannot be started is logged. To be called while the caller has one thread.
 */
void grace_servers_start(struct grace_keeper *keeper);

/* Say that a hook's turn has come, if it serves. Never waits. */
void grace_servers_tell(const struct grace_keeper *keeper, size_t hook);

#endif
