/*
 * Room for a stop: memory that a target which runs never touches. It lies behind all other
 * variables (the Makefile has the linker sort sections by name), so that the few that a start
 * writes share pages: each page costs a start a fault.
 */
#ifndef GRACE_HOOKS_ROOM_H
#define GRACE_HOOKS_ROOM_H

#define GRACE_ROOM(name) __attribute__((section(".bss.zz_room_" #name)))

#endif
