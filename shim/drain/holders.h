/* Who else has a listener open. See holders.c. */
#ifndef GRACE_SHIM_DRAIN_HOLDERS_H
#define GRACE_SHIM_DRAIN_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For each of `count` sockets by inode: whether any other process has it open, or may have.
 * Conductor only. */
void grace_holders_look(const uint64_t *inodes, bool *shared, size_t count);

/* Note what listens already. Constructor only. */
void grace_holders_at_load(void);

/* This process is a fork, and has its parent's listeners, too. Async-signal-safe. */
void grace_holders_begin_as_child(void);

#endif
