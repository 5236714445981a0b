#include "shim.h"

#include "raw.h"

struct grace_shim grace_shim;

/* The ledger's word, which all processes share, not our own memory's: a child that was forked
 * before the hand-over finds out by it. */
bool grace_is_owner(void)
{
    return atomic_load_explicit(&grace_shim.process, memory_order_acquire) != 0 &&
           atomic_load_explicit(&grace_shim.ledger->owner, memory_order_acquire) == grace_getpid();
}
