/* That no new connection begins at a TCP listener whose backlog is still accepted. newcomers.c. */
#ifndef GRACE_SHIM_DRAIN_NEWCOMERS_H
#define GRACE_SHIM_DRAIN_NEWCOMERS_H

#include <stdbool.h>

enum grace_newcomers { GRACE_NEWCOMERS_COME, GRACE_NEWCOMERS_FILTERED, GRACE_NEWCOMERS_TOO_FAR };

/* Keep them out, by what the kernel lets us; COME: by nothing. Async-signal-safe, as are all. */
enum grace_newcomers grace_newcomers_keep_out(int fd);

/* Let them in again, as the above kept them out. */
void grace_newcomers_let_in(int fd, enum grace_newcomers how);

/* Whether an accepted connection could not hear its client since its handshake, so that its request
 * may still be on the way once more. From now on it hears. */
bool grace_newcomers_was_deaf(int fd);

#endif
