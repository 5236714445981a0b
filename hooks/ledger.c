#include "ledger.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

/* Acquire and release on every move: what a hook needs was written before its state was. */
static bool move(struct grace_ledger *ledger, size_t hook, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&ledger->hooks[hook].state, &from, to,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* What is on disk must not fall behind what was done. How far to look is the caller's number, never
 * the ledger's. */
static void make_durable(struct grace_ledger *ledger, size_t hook)
{
    if (ledger->durable != 1)
        return;
    size_t size = sizeof *ledger + (hook + 1) * sizeof ledger->hooks[0];
    grace_kernel(SYS_msync, ledger, size, MS_SYNC);
}

bool grace_ledger_claim(struct grace_ledger *ledger, size_t hook)
{
    if (!move(ledger, hook, GRACE_HOOK_OWED, GRACE_HOOK_TAKEN) &&
        !move(ledger, hook, GRACE_HOOK_ASKED, GRACE_HOOK_TAKEN))
        return false;
    make_durable(ledger, hook);
    return true;
}

bool grace_ledger_ask(struct grace_ledger *ledger, size_t hook)
{
    return move(ledger, hook, GRACE_HOOK_OWED, GRACE_HOOK_ASKED);
}

bool grace_ledger_give_back(struct grace_ledger *ledger, size_t hook)
{
    return move(ledger, hook, GRACE_HOOK_ASKED, GRACE_HOOK_OWED);
}

bool grace_ledger_skip(struct grace_ledger *ledger, size_t hook)
{
    return move(ledger, hook, GRACE_HOOK_OWED, GRACE_HOOK_SKIPPED) ||
           move(ledger, hook, GRACE_HOOK_ASKED, GRACE_HOOK_SKIPPED);
}

void grace_ledger_finish(struct grace_ledger *ledger, size_t hook, unsigned outcome, int detail,
                         uint32_t attempts)
{
    atomic_store_explicit(&ledger->hooks[hook].outcome, outcome, memory_order_relaxed);
    atomic_store_explicit(&ledger->hooks[hook].detail, detail, memory_order_relaxed);
    atomic_store_explicit(&ledger->hooks[hook].attempts, attempts, memory_order_relaxed);
    move(ledger, hook, GRACE_HOOK_TAKEN, GRACE_HOOK_DONE); /* releases what is above */
}

enum grace_hook_state grace_ledger_state(const struct grace_ledger *ledger, size_t hook)
{
    uint32_t state = atomic_load_explicit(&ledger->hooks[hook].state, memory_order_acquire);
    return state <= GRACE_HOOK_SKIPPED ? (enum grace_hook_state)state : GRACE_HOOK_SKIPPED;
}

bool grace_ledger_owes(const struct grace_ledger *ledger, size_t hook)
{
    enum grace_hook_state state = grace_ledger_state(ledger, hook);
    return state == GRACE_HOOK_OWED || state == GRACE_HOOK_ASKED;
}

/* Futexes between processes: never the private kind. */

void grace_ledger_ring(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_acq_rel);
    grace_kernel(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void grace_ledger_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    grace_kernel(SYS_futex, word, FUTEX_WAIT, seen, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}
