/*
 * The control socket: how `grace ps`, `status` and `stop` talk to a guardian.
 *
 * A guardian listens on a Unix socket named for itself in a folder of mode 0700 that belongs to its
 * user; only that user and root get an answer. A caller sends one line, gets lines of "key value"
 * back, and the guardian hangs up:
 *
 *     status              → program, pid, …, and a line for each hook
 *     follow              → the same again and again, each time with a line "end" behind it, until
 * the guardian has finished: the last one says how everything went wish NAME           → no-drain,
 * force or abort, for the stop that is under way or comes next
 *
 * Lines with keys that a caller does not know are for a newer one.
 */
#ifndef GRACE_OPS_CONTROL_H
#define GRACE_OPS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "keeper.h"

/* The longest line that a caller may send, and how long either side waits for the other. */
#define GRACE_CONTROL_LINE       64
#define GRACE_CONTROL_PATIENCE_S 5

/* ---- folders (control_folder.c) -------------------------------------------------------------- */

/* A guardian's own folder, made when it is not there. False: none can be had that is ours alone. */
bool grace_control_own_folder(char *path, size_t size);

/* Call `visit` with each folder in which sockets of guardians may be that the caller could ask: its
 * own user's, for root those of all users. */
void grace_control_each_folder(void (*visit)(const char *folder, void *context), void *context);

/* ---- the guardian's side (control_server.c) -------------------------------------------------- */

/* Answer callers on a thread of its own from now on. Without a socket everything else still works:
 * then false, with a line in the log at level debug. */
bool grace_control_serve(struct grace_keeper *keeper);

/* The guardian goes, and so does its socket; those who follow hear the last of it before. */
void grace_control_close(void);

/* ---- the caller's side (control_client.c) ---------------------------------------------------- */

struct grace_control_hook {
    char name[128], phase[16], state[16], outcome[32];
    unsigned attempts;
};

/* Nothing more will happen to it; and it ran, but not to a good end. */
bool grace_control_is_over(const struct grace_control_hook *hook);
bool grace_control_has_failed(const struct grace_control_hook *hook);

struct grace_control_status {
    int pid, guardian;
    char program[256], config[4096];
    char stage[16]; /* "running", "stopping", "handling" (its own handler), "ending", "ended" */
    char phase[16]; /* of the hook that runs or is next; "" when no stop is under way */
    char cause[16];
    int signo;
    int64_t deadline_ms; /* what is left of it; -1: none runs */
    char drain[16];      /* "none", "hold", "draining", "over" */
    unsigned listeners, busy, idle, finished, cut, transactions;
    unsigned taken_back; /* how many stops were, since the program started */
    int64_t drain_ms;    /* what is left for it; -1 */
    struct grace_control_hook *hooks;
    size_t hook_count;
};

/* Everybody's status who can be asked, in the order of their pids. The caller frees the list with
 * grace_control_free. Returns the number; 0 with *list NULL when there is nobody. */
size_t grace_control_ask_all(struct grace_control_status **list);
void grace_control_free(struct grace_control_status *list, size_t count);

/* The status of the target with this pid. 0, or -ESRCH when no guardian that answers watches it.
 * The caller frees status->hooks. */
int grace_control_ask(int pid, struct grace_control_status *status);

/* Follow a target's stop: a stream of statuses, the file descriptor of which says when there is
 * one. NULL when no guardian that answers watches the process. fclose ends it. */
FILE *grace_control_follow(int pid);

/* The next status of the stream; false when the guardian is gone. The caller frees status->hooks.
 */
bool grace_control_next(FILE *stream, struct grace_control_status *status);

/* Say "no-drain", "force" or "abort" to the target's guardian. 0 or a negative errno. */
int grace_control_wish(int pid, const char *wish);

#endif
