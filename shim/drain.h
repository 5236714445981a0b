/* Draining: what the drain offers the rest of the shim. How it works: drain/phase.c. */
#ifndef GRACE_SHIM_DRAIN_H
#define GRACE_SHIM_DRAIN_H

#include "shim.h"

/*
 * Whether a descriptor is a connection that was accepted here: a stream socket with the local
 * address of one of our listeners. Known from the start of the drain on; false before. One or
 * two system calls; async-signal-safe, thread-safe, keeps errno.
 */
bool grace_drain_is_accepted(int fd);

#endif
