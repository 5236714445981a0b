/*
 * send, sendto, sendmsg, sendmmsg. A message with more to it than bytes (an address, descriptors,
 * urgent or pinned data) goes as it is, and so does all that follows it: no HTTP server does that.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/socket.h>

#include "calls.h"
#include "outgoing.h"

typedef ssize_t sending(int, const void *, size_t, int);
typedef ssize_t sending_to(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t sending_message(int, const struct msghdr *, int);
typedef int sending_messages(int, struct mmsghdr *, unsigned, int);

#define MORE_THAN_BYTES (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)

static ssize_t by_sendmsg(const struct grace_outgoing *call, const struct iovec *bytes,
                          size_t count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)bytes, .msg_iovlen = count};
    return GRACE_BEFORE(sending_message, sendmsg)(call->fd, &message, call->flags);
}

/* ---- send, sendto -------------------------------------------------------------------------- */

static ssize_t by_send(const struct grace_outgoing *call)
{
    return GRACE_BEFORE(sending, send)(call->fd, call->bytes->iov_base, call->bytes->iov_len,
                                       call->flags);
}

ssize_t grace_late_send(int fd, const void *bytes, size_t length, int flags)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, length};
    struct grace_outgoing call = {.fd = fd,
                                  .flags = flags,
                                  .bytes = &piece,
                                  .count = 1,
                                  .whole = by_send,
                                  .pieces = by_sendmsg};
    return flags & MORE_THAN_BYTES ? grace_outgoing_unseen(&call, false)
                                   : grace_outgoing_send(&call);
}

struct destination {
    const struct sockaddr *address;
    socklen_t length;
};

static ssize_t by_sendto(const struct grace_outgoing *call)
{
    const struct destination *to = call->argument;
    return GRACE_BEFORE(sending_to, sendto)(call->fd, call->bytes->iov_base, call->bytes->iov_len,
                                            call->flags, to->address, to->length);
}

ssize_t grace_late_sendto(int fd, const void *bytes, size_t length, int flags,
                          const struct sockaddr *address, socklen_t address_length)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, length};
    struct destination to = {address, address_length};
    struct grace_outgoing call = {.fd = fd,
                                  .flags = flags,
                                  .bytes = &piece,
                                  .count = 1,
                                  .argument = &to,
                                  .whole = by_sendto,
                                  .pieces = by_sendmsg};
    return address != NULL || (flags & MORE_THAN_BYTES) ? grace_outgoing_unseen(&call, false)
                                                        : grace_outgoing_send(&call);
}

/* ---- sendmsg, sendmmsg --------------------------------------------------------------------- */

static ssize_t by_whole_sendmsg(const struct grace_outgoing *call)
{
    return GRACE_BEFORE(sending_message, sendmsg)(call->fd, call->argument, call->flags);
}

ssize_t grace_late_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct grace_outgoing call = {.fd = fd,
                                  .flags = flags,
                                  .argument = message,
                                  .whole = by_whole_sendmsg,
                                  .pieces = by_sendmsg};
    if (message == NULL || message->msg_iovlen < 1 || message->msg_iovlen > IOV_MAX ||
        message->msg_controllen > 0 || message->msg_name != NULL || (flags & MORE_THAN_BYTES))
        return grace_outgoing_unseen(&call, false);
    call.bytes = message->msg_iov;
    call.count = message->msg_iovlen;
    return grace_outgoing_send(&call);
}

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;
    int saved = errno;
    bool is_stream =
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
    errno = saved;
    return is_stream;
}

/* As the kernel does it: one after the other, until one fails or goes in part. */
int grace_late_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (count == 0 || messages == NULL || !is_stream_socket(fd))
        return GRACE_BEFORE(sending_messages, sendmmsg)(fd, messages, count, flags);
    unsigned sent = 0;
    while (sent < count && sent < IOV_MAX) {
        const struct msghdr *message = &messages[sent].msg_hdr;
        ssize_t result = grace_late_sendmsg(fd, message, flags);
        if (result < 0)
            return sent > 0 ? (int)sent : -1;
        messages[sent++].msg_len = (unsigned)result;
        size_t length = 0;
        for (size_t i = 0; i < message->msg_iovlen; i++)
            length += message->msg_iov[i].iov_len;
        if ((size_t)result < length)
            break;
    }
    return (int)sent;
}
