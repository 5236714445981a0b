/* Who else has a listener open. See holders.c. */
#ifndef GRACE_SHIM_DRAIN_HOLDERS_H
#define GRACE_SHIM_DRAIN_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who else has a socket open, the worst last. */
enum grace_holders {
    GRACE_HELD_ALONE,   /* nobody */
    GRACE_HELD_LEAVING, /* forks of the same program, and all of them drain */
    GRACE_HELD_FAMILY,  /* forks of the same program */
    GRACE_HELD_OTHERS,  /* others, or nobody knows */
    GRACE_HELD_GIVER    /* it was there at load: whoever gave it to us */
};

/* For each of `count` sockets by inode, who else holds it. Returns a number that changes with the
 * processes that are GRACE_HELD_FAMILY. Conductor only. */
uint64_t grace_holders_look(const uint64_t *inodes, enum grace_holders *who, size_t count);

/* From now on the others of the family see that this process drains, or that it does no longer. On
 * the same thread, which drains. */
void grace_holders_join(void);
void grace_holders_leave(void);

/* Note what listens already. Constructor only. */
void grace_holders_at_load(void);

#endif
