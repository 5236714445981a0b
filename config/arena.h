/*
 * An arena: memory that is taken piece by piece and given back as a whole. The plan lives in one.
 *
 * It is mapped, not taken from malloc: the plan is read while signal handlers run and other threads
 * hold malloc's lock, and once made it is set read-only, so that a target that writes where it
 * should not cannot change what its own stop does.
 */
#ifndef GRACE_CONFIG_ARENA_H
#define GRACE_CONFIG_ARENA_H

#include <stddef.h>

struct grace_arena_chunk;

/* Start with all zero. */
struct grace_arena {
    struct grace_arena_chunk *chunks; /* the newest first */
};

/* Zeroed memory, aligned for anything. NULL when memory is short. */
void *grace_arena_take(struct grace_arena *arena, size_t size);

/* Make all of it read-only. Nothing can be taken any more. */
void grace_arena_seal(const struct grace_arena *arena);

/* Give everything back. The arena itself may lie inside. */
void grace_arena_free(const struct grace_arena *arena);

#endif
