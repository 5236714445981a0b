/* sigaction and its twin. */
#include "../shim.h"

#define EXPORT __attribute__((visibility("default")))

int __sigaction(int signo, const struct sigaction *action, struct sigaction *old);

EXPORT int sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
    return grace_disposition(signo, action, old, grace_real_sigaction());
}

EXPORT int __sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
    return grace_disposition(signo, action, old, grace_real_sigaction());
}
