/* The target's side of the guardian. */
#ifndef GRACE_SHIM_GUARDIAN_H
#define GRACE_SHIM_GUARDIAN_H

#include "shim.h"

/* Start it for the ledger in grace_shim, whose file is ledger_fd. False: it could not be started.
 * Constructor only. */
bool grace_guardian_start(const char *executable, int ledger_fd);

/* The guardian that the program before an exec left behind. */
enum grace_guardian_found {
    GRACE_GUARDIAN_FOUND,       /* *ledger is its ledger, and fits this plan */
    GRACE_GUARDIAN_GONE,        /* there is none any more, or it was dismissed: another plan */
    GRACE_GUARDIAN_OUT_OF_REACH /* it watches over us, but its ledger is another user's */
};
enum grace_guardian_found grace_guardian_find(int pid, uint64_t fingerprint,
                                              struct grace_ledger **ledger);
void grace_guardian_is_out_of_reach(void);

/* Where a program that the owner executes finds the ledger: its pid, or `grace run`'s; 0: nowhere.
 * Waits a moment for one that was just started. Async-signal-safe, as all below. */
int grace_guardian_pid(void);

/* Whether external hooks are somebody else's work: waits a moment for a guardian that was just
 * started, and notices one that is gone. */
bool grace_guardian_serves(void);

/* Whether it can be asked, or will run what is owed only when we are gone. */
bool grace_guardian_in_reach(void);

/* Have it run one hook, and wait. */
enum grace_guardian_answer {
    GRACE_ANSWER_OVER,       /* it is over: the ledger says how */
    GRACE_ANSWER_LEFT,       /* a second signal cut the wait short; the guardian goes on with it */
    GRACE_ANSWER_GIVEN_BACK, /* the guardian died before it began */
    GRACE_ANSWER_DIED        /* … after */
};
enum grace_guardian_answer grace_guardian_ask(size_t hook, uint32_t limit_ms);

/* Write the facts of the stop into the ledger, and how far it has come. */
void grace_guardian_tell(enum grace_stop_stage stage);

/* The stop is over. Without a guardian nothing is owed any more: the ledger's file goes. */
void grace_guardian_retire(void);

#endif
