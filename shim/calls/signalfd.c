/* signalfd: a chain signal is read after its announcement. See descriptors.c. */
#include "../shim.h"

#include <sys/signalfd.h>

#include "real.h"

__attribute__((visibility("default"))) int signalfd(int fd, const sigset_t *mask, int flags)
{
    return grace_signalfd(fd, mask, flags, GRACE_REAL(grace_signalfd_function, "signalfd"));
}
