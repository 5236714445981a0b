/*
 * Which process a number means. Numbers of dead processes come again; the moment at which a process
 * began tells it from a later one with the same number. All async-signal-safe.
 */
#ifndef GRACE_HOOKS_PROCESS_H
#define GRACE_HOOKS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * When a process began, in clock ticks since boot (field 22 of /proc/PID/stat). 0: it does not run:
 * it is gone, a zombie, or about to be one; with other threads alive it does run.
 * GRACE_PROCESS_HIDDEN: it is there, and /proc does not say more.
 */
#define GRACE_PROCESS_HIDDEN UINT64_MAX
uint64_t grace_process_born(int pid);

/* The process's parent; 0: it is gone, or its parent is no process of this namespace. */
int grace_process_parent(int pid);

/* Whether its first thread has ended, or is about to; others of it may run. */
bool grace_process_leaves(int pid);

/* The present in the same ticks. */
uint64_t grace_process_clock(void);

bool grace_process_runs(int pid);

/* Whether a process runs and began at that moment. 0 is any moment. */
bool grace_process_is(int pid, uint64_t born);

/* Which file a process executes; false when it is gone or may not be looked at. */
struct grace_executable {
    uint64_t device, inode;
};
bool grace_executable_of(int pid, struct grace_executable *executable);

/* Read a process's memory; false when not all of it is there, or may be looked at. */
bool grace_process_read(int pid, uintptr_t address, void *into, size_t size);

#endif
