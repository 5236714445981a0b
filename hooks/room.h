/*
 * Room for a stop: memory that a target which runs never touches. It lies behind all other
 * variables (the Makefile has the linker sort sections by name), so that the few that a start
 * writes share pages: each page costs a start a fault.
 */
#ifndef GRACE_HOOKS_ROOM_H
#define GRACE_HOOKS_ROOM_H

#define GRACE_ROOM(name) __attribute__((section(".bss.zz_room_" #name)))

/*
 * Code that every child of a fork runs. It lies together: to the child none of it is mapped, and
 * its first page fault brings what is around.
 */
#define GRACE_IN_CHILDREN __attribute__((hot))

/* What they read, in a page that the start has written: such a page they have from the fork. */
#define GRACE_SEEN_BY_CHILDREN(name) __attribute__((section(".bss.00_" #name)))

#endif
