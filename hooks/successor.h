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

/* Write a process down that was forked as the so-many-th, and strike it out when it execs or ends.
 * False: it was not there. */
void grace_successor_add(struct grace_ledger *ledger, int pid, uint32_t order);
bool grace_successor_remove(struct grace_ledger *ledger, int pid);

/* For a child that could not strike itself out: if it is the one that was just taken to be the
 * owner, wait until it is (it is a matter of a few instructions). */
void grace_successor_settle(struct grace_ledger *ledger, int pid);

/* The pid that a pid file holds; 0: there is none, or no number in it. */
int grace_pidfile_read(const char *path);

/* Which file a process executes; false when it is gone or may not be looked at. */
struct grace_executable {
    uint64_t device, inode;
};
bool grace_executable_of(int pid, struct grace_executable *executable);

/* Whether a process runs: exists, and is neither a zombie nor about to be one. Without /proc a zombie
 * counts as running. */
bool grace_process_runs(int pid);

/*
 * Make the process the owner that takes over from `leaving`: the last one forked that runs, and
 * executes the same file (NULL: any), which a process that got the number of a dead one hardly
 * does. A child leaves by striking itself out and is taken in the same way: it is one or the other.
 * Returns its pid; 0: there is none, or `leaving` is not the owner any more.
 */
int grace_successor_appoint(struct grace_ledger *ledger, int leaving,
                            const struct grace_executable *executable);

/* Make this process the owner instead of `leaving`, whatever it is. False: `leaving` is not the
 * owner any more. */
bool grace_successor_appoint_pid(struct grace_ledger *ledger, int leaving, int pid);

/* The process that runs by the pid in a pid file; 0: none. NULL is no file. */
int grace_successor_in_file(const char *path);

#endif
