/* write and its kin. */
#include <limits.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"
#include "outgoing.h"

typedef ssize_t writing(int, const void *, size_t);
typedef ssize_t writing_pieces(int, const struct iovec *, int);
typedef ssize_t writing_at(int, const struct iovec *, int, __off_t, int);
typedef ssize_t writing_at64(int, const struct iovec *, int, off64_t, int);

static ssize_t by_writev(const struct grace_outgoing *call, const struct iovec *bytes, size_t count)
{
    return GRACE_BEFORE(writing_pieces, writev)(call->fd, bytes, (int)count);
}

static ssize_t by_write(const struct grace_outgoing *call)
{
    return GRACE_BEFORE(writing, write)(call->fd, call->bytes->iov_base, call->bytes->iov_len);
}

ssize_t grace_late_write(int fd, const void *bytes, size_t length)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, length};
    return grace_outgoing_send(&(struct grace_outgoing){
        .fd = fd, .bytes = &piece, .count = 1, .whole = by_write, .pieces = by_writev});
}

static ssize_t by_whole_writev(const struct grace_outgoing *call)
{
    return by_writev(call, call->bytes, call->count);
}

ssize_t grace_late_writev(int fd, const struct iovec *bytes, int count)
{
    if (count < 1 || count > IOV_MAX)
        return GRACE_BEFORE(writing_pieces, writev)(fd, bytes, count);
    return grace_outgoing_send(&(struct grace_outgoing){.fd = fd,
                                                        .bytes = bytes,
                                                        .count = (size_t)count,
                                                        .whole = by_whole_writev,
                                                        .pieces = by_writev});
}

/* ---- pwritev2, which on a socket is writev with flags --------------------------------------- */

struct place {
    off64_t offset;
    int flags;
};

static ssize_t by_pwritev64v2(const struct grace_outgoing *call, const struct iovec *bytes,
                              size_t count)
{
    const struct place *place = call->argument;
    return GRACE_BEFORE(writing_at64, pwritev64v2)(call->fd, bytes, (int)count, place->offset,
                                                   place->flags);
}

static ssize_t by_whole_pwritev64v2(const struct grace_outgoing *call)
{
    return by_pwritev64v2(call, call->bytes, call->count);
}

ssize_t grace_late_pwritev64v2(int fd, const struct iovec *bytes, int count, off64_t offset,
                               int flags)
{
    if (count < 1 || count > IOV_MAX || offset != -1)
        return GRACE_BEFORE(writing_at64, pwritev64v2)(fd, bytes, count, offset, flags);
    return grace_outgoing_send(
        &(struct grace_outgoing){.fd = fd,
                                 .flags = (flags & RWF_NOWAIT) != 0 ? MSG_DONTWAIT : 0,
                                 .bytes = bytes,
                                 .count = (size_t)count,
                                 .argument = &(struct place){offset, flags},
                                 .whole = by_whole_pwritev64v2,
                                 .pieces = by_pwritev64v2});
}

/* With the offset in a long, which on 32 bit is another function. */
ssize_t grace_late_pwritev2(int fd, const struct iovec *bytes, int count, __off_t offset, int flags)
{
    return offset == -1 ? grace_late_pwritev64v2(fd, bytes, count, offset, flags)
                        : GRACE_BEFORE(writing_at, pwritev2)(fd, bytes, count, offset, flags);
}
