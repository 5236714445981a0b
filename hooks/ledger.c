#include "ledger.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct grace_ledger *grace_ledger_create(size_t hook_count)
{
    size_t size = sizeof(struct grace_ledger) + hook_count * sizeof(uint32_t);
    struct grace_ledger *ledger =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED)
        return NULL;
    ledger->magic = GRACE_LEDGER_MAGIC;
    ledger->hook_count = (uint32_t)hook_count;
    /* The rest is zero: GRACE_HOOK_OWED. */
    atomic_store_explicit(&ledger->owner, (int32_t)getpid(), memory_order_release);
    return ledger;
}

/* Acquire and release on every move: what a hook needs was written before its state was. */
static bool move(struct grace_ledger *ledger, size_t hook, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&ledger->hooks[hook], &from, to,
                                                   memory_order_acq_rel, memory_order_acquire);
}

bool grace_ledger_claim(struct grace_ledger *ledger, size_t hook)
{
    return move(ledger, hook, GRACE_HOOK_OWED, GRACE_HOOK_TAKEN);
}

bool grace_ledger_skip(struct grace_ledger *ledger, size_t hook)
{
    return move(ledger, hook, GRACE_HOOK_OWED, GRACE_HOOK_SKIPPED);
}

void grace_ledger_finish(struct grace_ledger *ledger, size_t hook)
{
    move(ledger, hook, GRACE_HOOK_TAKEN, GRACE_HOOK_DONE);
}

bool grace_ledger_owes(const struct grace_ledger *ledger, size_t hook)
{
    return atomic_load_explicit(&ledger->hooks[hook], memory_order_acquire) == GRACE_HOOK_OWED;
}
