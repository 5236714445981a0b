/* abort: for hooks only. What the target aborts for is its own; core dump and status stay as they
 * are. */
#include "../shim.h"

#include <stdlib.h>

#include "real.h"

typedef void aborting(void);

__attribute__((visibility("default"))) _Noreturn void abort(void)
{
    if (grace_is_owner() && grace_worker_is_current())
        grace_worker_give_up(GRACE_OUTCOME_SIGNAL, SIGABRT);
    GRACE_REAL(aborting, "abort")();
    __builtin_unreachable();
}
