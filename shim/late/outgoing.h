/* One call of the target's that sends, as it asked for it, and how its bytes go out. */
#ifndef GRACE_SHIM_LATE_OUTGOING_H
#define GRACE_SHIM_LATE_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct grace_outgoing {
    int fd;
    int flags;                 /* MSG_…, for calls that have them */
    const struct iovec *bytes; /* what is to be sent */
    size_t count;
    const void *argument; /* for the functions below */
    /* The call as the target made it; and the same with other bytes. Both return what the call
     * does, errno included. */
    ssize_t (*whole)(const struct grace_outgoing *call);
    ssize_t (*pieces)(const struct grace_outgoing *call, const struct iovec *bytes, size_t count);
};

/* Make the call, with the answers in it edited. Returns and sets errno as the call itself would.
 * Not more of a risk in a signal handler than the call is. */
ssize_t grace_outgoing_send(const struct grace_outgoing *call);

/* Make a call whose bytes are not in the caller's memory, after what is owed on the connection.
 * `is_known`: its result is a number of bytes that were sent on the connection, and nothing else
 * was. */
ssize_t grace_outgoing_unseen(const struct grace_outgoing *call, bool is_known);

#endif
