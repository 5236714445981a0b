#include "shim.h"

#include <pthread.h>

#include "hooks/room.h"
#include "raw.h"

struct grace_shim grace_shim GRACE_SEEN_BY_CHILDREN(shim);

/* The ledger's word, which all processes share, not our own memory's: a child that was forked
 * before the hand-over finds out by it. */
GRACE_IN_CHILDREN bool grace_is_owner(void)
{
    return atomic_load_explicit(&grace_shim.process, memory_order_acquire) != 0 &&
           atomic_load_explicit(&grace_shim.ledger->owner, memory_order_acquire) == grace_getpid();
}

/* What libc takes the calling thread's id for, and writes into a recursive mutex: fork has the
 * kernel write the new one before the child runs, vfork and posix_spawn leave the parent's. */
static int32_t tid_of_libc(void)
{
    pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    return pthread_mutex_trylock(&mutex) == 0 ? mutex.__data.__owner : 0;
}

bool grace_is_forked(void)
{
    return atomic_load_explicit(&grace_shim.process, memory_order_relaxed) != grace_getpid() &&
           tid_of_libc() == grace_gettid();
}
