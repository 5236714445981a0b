/* What forked children still serve, where they end with us: as PID 1. See children.c. Conductor
 * only. */
#ifndef GRACE_SHIM_DRAIN_CHILDREN_H
#define GRACE_SHIM_DRAIN_CHILDREN_H

#include <stdbool.h>

/* Whether they are to be waited for at all. */
bool grace_children_matter(void);

/* Have forks of this process drain their connections, too. They are not killed. */
void grace_children_take_along(int signo);

/* Whether any other process has a TCP connection that was accepted here. Asks the kernel now and
 * then, and gives its last answer in between. */
bool grace_children_serve(void);

#endif
