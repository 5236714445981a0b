/*
 * Who becomes the owner when the owner leaves without a stop: old daemons fork and let the parent
 * exit. Every process that was forked without exec from the owner's tree is written into the ledger
 * by itself; the one that was forked last and lives takes over. All async-signal-safe.
 */
#ifndef GRACE_HOOKS_SUCCESSOR_H
#define GRACE_HOOKS_SUCCESSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger.h"

/* A child that was just forked may not have run yet: wait until all have written themselves down,
 * or GRACE_SUCCESSOR_WAIT_MS have passed (one died before it could, or fork failed). */
#define GRACE_SUCCESSOR_WAIT_MS 100
void grace_successor_await(struct grace_ledger *ledger);

/* Write a process down that was just forked, and strike it out when it execs or ends. */
void grace_successor_add(struct grace_ledger *ledger, int pid);
void grace_successor_remove(struct grace_ledger *ledger, int pid);

/* The pid that a pid file holds; 0: there is none, or no number in it. */
int grace_pidfile_read(const char *path);

/* Which file a process executes; false when it is gone or may not be looked at. */
struct grace_executable {
    uint64_t device, inode;
};
bool grace_executable_of(int pid, struct grace_executable *executable);

/* Whether a process runs: exists, and is no zombie. Without /proc a zombie counts as running. */
bool grace_process_runs(int pid);

/*
 * The process to take over from `leaving`: the last one forked that runs, and executes the same
 * file (NULL: any), which a process that got the number of a dead one hardly does. 0: there is
 * none.
 */
int grace_successor_find(const struct grace_ledger *ledger, int leaving,
                         const struct grace_executable *executable);

#endif
