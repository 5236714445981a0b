/*
 * The ledger and the guardian of a target whose parent is `grace run`: made here, before the target
 * runs, and found by libgrace.so inside it as it finds those of a program before an exec.
 */
#ifndef GRACE_OPS_INIT_POST_H
#define GRACE_OPS_INIT_POST_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "config/plan.h"
#include "hooks/ledger.h"

/* Where the ledger's file must be in this process for the target to find it. */
#define GRACE_POST_LEDGER_FD 3

struct grace_post {
    const struct grace_plan *plan;
    const char *program;
    struct grace_ledger *ledger; /* NULL: there is none */
    int ledger_fd;
    char path[PATH_MAX]; /* its file, with state_dir; else "" */
    pid_t guardian;      /* 0: none */
    int told;            /* where the guardian hears of ends; -1: nowhere */
    pid_t target;        /* the process that was started, and a pidfd of it */
    int pidfd;
    unsigned starts;
    pid_t ended; /* the owner that was reaped last, and how it ended; 0: none */
    int status;
};

/* Settle what earlier owners of this plan owe, and make the ledger. False with errno set. */
bool grace_post_prepare(struct grace_post *post, const struct grace_plan *plan, const char *program,
                        bool durable);

/* Start the guardian of the process `target`, which runs. False: it cannot be started. */
bool grace_post_start(struct grace_post *post, pid_t target);

/* Whether the ledger names this process as the one whose end triggers the hooks. */
bool grace_post_is_owner(const struct grace_post *post, pid_t pid);

/* That process, if it is a child of ours and lives: who writes the ledger may be hostile. 0: none.
 */
pid_t grace_post_owner(const struct grace_post *post);

/* An owner was reaped. */
void grace_post_tell(struct grace_post *post, pid_t owner, int status);

/* The guardian was reaped. One that was killed has another take its place. */
void grace_post_guardian_ended(struct grace_post *post, int status);

/* The target could not be started: nothing is owed, and the guardian leaves. To be called before
 * the process that was to become the target has ended. */
void grace_post_abandon(struct grace_post *post);

#endif
