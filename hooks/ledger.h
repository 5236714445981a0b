/*
 * The ledger: what has happened to each hook, and why the owner is ending.
 *
 * It is the one place in which the target and what runs beside it meet, and it holds numbers only:
 * no path, no command, no pointer, no size that anyone would follow. Whoever reads it must assume
 * that the other side may write anything into it. It lives in memory that both map; every word is
 * moved by compare-and-swap, so a process that is killed between two instructions leaves a state
 * that the other one can go on from.
 *
 *     a hook's state
 *
 *                  claim (CAS)             finish
 *         OWED ───────────────▶ TAKEN ───────────────▶ DONE      its result says how it went
 *           │                     │
 *           │ skip (CAS)          └─ the process that took it died: it is over, and counts as
 *           ▼                        run: half of it may have happened (TAKEN for ever)
 *        SKIPPED
 *
 * OWED → TAKEN happens once per hook, whoever tries and however often: that is "exactly once".
 */
#ifndef GRACE_HOOKS_LEDGER_H
#define GRACE_HOOKS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRACE_LEDGER_MAGIC 0x47524c31u /* "GRL1" */

enum grace_hook_state { GRACE_HOOK_OWED, GRACE_HOOK_TAKEN, GRACE_HOOK_DONE, GRACE_HOOK_SKIPPED };

struct grace_ledger {
    uint32_t magic;
    uint32_t hook_count;
    _Atomic int32_t owner;    /* pid of the process whose end triggers the hooks */
    _Atomic uint32_t hooks[]; /* enum grace_hook_state, in the order of the config file */
};

/* Map a new ledger, all hooks owed, for the calling process. NULL with errno set. */
struct grace_ledger *grace_ledger_create(size_t hook_count);

/* Take a hook to run it. True for exactly one caller. Async-signal-safe, as all below. */
bool grace_ledger_claim(struct grace_ledger *ledger, size_t hook);

/* Write off a hook that nobody took. False when somebody did. */
bool grace_ledger_skip(struct grace_ledger *ledger, size_t hook);

/* The hook that the caller took is over. */
void grace_ledger_finish(struct grace_ledger *ledger, size_t hook);

/* Whether the hook still waits for somebody to take it. */
bool grace_ledger_owes(const struct grace_ledger *ledger, size_t hook);

#endif
