/*
 * Who becomes the owner when the owner leaves without a stop: old daemons fork and let the parent
 * exit. Every process that was forked without exec from the owner's tree is written into the ledger
 * by itself. All async-signal-safe.
 *
 * It takes over who descends from the owner's last fork of which anybody lives, and in that branch
 * the eldest generation: the daemon, not the workers that it has forked already; its child, where
 * it forked again and left. So each is written down with its lineage: the order, counted over the
 * whole tree, of the fork that made it, and those of its forebears' forks.
 */
#ifndef GRACE_HOOKS_SUCCESSOR_H
#define GRACE_HOOKS_SUCCESSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger.h"

/* From the first fork to the process's own; the deepest ones share the last place. */
struct grace_lineage {
    uint32_t depth;
    uint32_t orders[GRACE_LEDGER_LINEAGE];
};

/*
 * Write a process down that was just forked, the first time and again after an exec that failed;
 * and strike it out when it execs or ends. False: it was not there. With all places taken the one
 * that would take over last is forgotten: a worker before its master, the elder before the younger.
 */
void grace_successor_begin(struct grace_ledger *ledger, int pid,
                           const struct grace_lineage *lineage);
void grace_successor_add(struct grace_ledger *ledger, int pid, const struct grace_lineage *lineage);
bool grace_successor_remove(struct grace_ledger *ledger, int pid);

/* For a child that could not strike itself out: if it is the one that was just taken to be the
 * owner, wait until it is (it is a matter of a few instructions). */
void grace_successor_settle(struct grace_ledger *ledger, int pid);

/* The pid that a pid file holds; 0: there is none, or no number in it. */
int grace_pidfile_read(const char *path);

/* Whether a process is what the ledger takes it for: numbers of dead ones come again. */
typedef bool grace_successor_fits(int pid, const void *context);

/*
 * Make the process that takes over from `leaving` the owner. A child leaves by striking itself out
 * and is taken in the same way: it is one or the other. Returns its pid; 0: there is none, or
 * `leaving` is not the owner any more.
 */
int grace_successor_appoint(struct grace_ledger *ledger, int leaving, grace_successor_fits *fits,
                            const void *context);

/* Whether a process is written down. */
bool grace_successor_is_child(const struct grace_ledger *ledger, int pid);

/* Make this process the owner instead of `leaving`, whatever it is. False: `leaving` is not the
 * owner any more. */
bool grace_successor_appoint_pid(struct grace_ledger *ledger, int leaving, int pid);

/* Whether the guardian has followed a hand-over to `pid`: it watches that process, or the one that
 * `pid` has handed over to meanwhile. */
bool grace_successor_is_followed(const struct grace_ledger *ledger, int pid);

/* The process that runs by the pid in a pid file; 0: none. NULL is no file. One that began before
 * `since` (grace_process_clock) is none: the file is a stale one, or of another instance. */
int grace_successor_in_file(const char *path, uint64_t since);

#endif
