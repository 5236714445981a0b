#include "shim.h"

#include "raw.h"

struct grace_shim grace_shim;

bool grace_is_owner(void)
{
    int32_t owner = atomic_load_explicit(&grace_shim.owner, memory_order_acquire);
    return owner != 0 && owner == grace_getpid();
}
