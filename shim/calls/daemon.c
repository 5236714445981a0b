/* daemon(): its parent leaves inside libc, with status 0. */
#include "../shim.h"

#include <unistd.h>

#include "real.h"

typedef int becoming_daemon(int, int);

__attribute__((visibility("default"))) int daemon(int nochdir, int noclose)
{
    grace_daemon_begins();
    int result = GRACE_REAL(becoming_daemon, "daemon")(nochdir, noclose);
    GRACE_KEEP_ERRNO;
    grace_daemon_over(result != 0);
    return result;
}
