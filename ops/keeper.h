/*
 * Running the external hooks of a ledger outside the target: what the guardian and `grace recover`
 * share. A keeper takes from the ledger only numbers, and runs only what its own plan names.
 */
#ifndef GRACE_OPS_KEEPER_H
#define GRACE_OPS_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "config/plan.h"
#include "hooks/attempts.h"
#include "hooks/hook.h"
#include "hooks/ledger.h"

struct grace_keeper {
    struct grace_plan *plan;
    struct grace_loaded_hook *hooks;
    int *servers; /* what ops/servers.h keeps for each hook; NULL: there is none */
    bool *ran;    /* our own memory of it: the ledger's word is not enough to run a hook twice */
    struct grace_ledger *ledger;
    const char *program;
    int pid;        /* the owner's */
    uint64_t since; /* when the guardian began: what the owner started is not older */

    /* The story that hooks are told. */
    enum grace_cause cause;
    int signo, status, sender_pid, sender_uid;
    bool core_dumped;
    bool gone;            /* the owner has ended */
    uint64_t began_ms;    /* when the keeper found it gone: CLOCK_MONOTONIC; 0: not yet */
    uint64_t deadline_ms; /* CLOCK_MONOTONIC; no hook runs beyond it */
    bool aborted;         /* a hook with on_failure = "abort" failed */
    unsigned done, failed, skipped;
};

/* Load a plan's hooks for a ledger. Returns 0, or -1 with `error` set: out of memory, or the plan
 * is not the one that the ledger is of. `origin` is the folder of plugins, `executable` the grace
 * command. */
int grace_keeper_open(struct grace_keeper *keeper, const char *config, const char *program,
                      struct grace_ledger *ledger, int pid, struct grace_error *error);

/* How one hook went. */
struct grace_keeper_run {
    struct grace_attempt result;
    uint32_t attempts;
    uint64_t duration_us;
};

/* Run one hook if the ledger says that it is owed. True when it was run now. */
bool grace_keeper_run(struct grace_keeper *keeper, size_t hook, struct grace_keeper_run *run);

/* Whether a hook is owed, for the cause that the keeper knows, and its own to run. */
bool grace_keeper_owes(const struct grace_keeper *keeper, size_t hook);

/* Log how it went, and count it. Not where the conductor does so. */
void grace_keeper_report(struct grace_keeper *keeper, size_t hook,
                         const struct grace_keeper_run *run);

/* Take the cause from the ledger, as far as it makes sense. */
void grace_keeper_read_cause(struct grace_keeper *keeper);

/* Set the cause from a wait status: what it cannot explain (the owner said that it exits, and was
 * killed) counts as killed or crash. */
void grace_keeper_set_ending(struct grace_keeper *keeper, int wait_status);

/* The stop as hooks are told of it, but for what differs from hook to hook. */
struct grace_stop grace_keeper_describe(const struct grace_keeper *keeper);

/* Run all that is owed, in order, with a line before and after when there is anything. */
void grace_keeper_run_all(struct grace_keeper *keeper);

#endif
