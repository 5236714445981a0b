/* exit, _exit, _Exit, quick_exit: the target ends by a call of its own. */
#include "../shim.h"

#include <stdlib.h>
#include <unistd.h>

#include "hooks/room.h"
#include "real.h"

typedef void ending(int);

#define EXPORT __attribute__((visibility("default")))

static ending *real_exit(void)
{
    return GRACE_REAL(ending, "exit");
}

void grace_exit_look_up(void)
{
    real_exit();
}

EXPORT _Noreturn GRACE_IN_CHILDREN void exit(int status)
{
    grace_stop_by_call(GRACE_CAUSE_EXIT, status & 0xff);
    real_exit()(status);
    __builtin_unreachable();
}

EXPORT _Noreturn GRACE_IN_CHILDREN void _exit(int status)
{
    grace_stop_by_call(GRACE_CAUSE__EXIT, status & 0xff);
    grace_real__exit(status);
}

EXPORT _Noreturn GRACE_IN_CHILDREN void _Exit(int status)
{
    grace_stop_by_call(GRACE_CAUSE__EXIT, status & 0xff);
    grace_real__exit(status);
}

/* Both of libc's versions come here: 2.10 and 2.24 differ in whether thread_local destructors run.
 * The newer, which does not run them, is the one that goes on. */
EXPORT _Noreturn void quick_exit(int status)
{
    grace_stop_by_call(GRACE_CAUSE_QUICK_EXIT, status & 0xff);
    GRACE_REAL(ending, "quick_exit")(status);
    __builtin_unreachable();
}
