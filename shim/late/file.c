/* sendfile and splice: bytes that are counted, not seen. */
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "calls.h"
#include "outgoing.h"

typedef ssize_t writing_pieces(int, const struct iovec *, int);
typedef ssize_t sending_file(int, int, __off_t *, size_t);
typedef ssize_t sending_file64(int, int, off64_t *, size_t);
typedef ssize_t splicing(int, off64_t *, int, off64_t *, size_t, unsigned);

struct source {
    int from;
    __off_t *long_offset; /* of sendfile */
    off64_t *from_offset;
    off64_t *offset;
    size_t length;
    unsigned flags;
};

static ssize_t by_writev(const struct grace_outgoing *call, const struct iovec *bytes, size_t count)
{
    return GRACE_BEFORE(writing_pieces, writev)(call->fd, bytes, (int)count);
}

static ssize_t by_sendfile(const struct grace_outgoing *call)
{
    const struct source *source = call->argument;
    return GRACE_BEFORE(sending_file, sendfile)(call->fd, source->from, source->long_offset,
                                                source->length);
}

ssize_t grace_late_sendfile(int fd, int file, __off_t *offset, size_t length)
{
    struct source source = {.from = file, .long_offset = offset, .length = length};
    struct grace_outgoing call = {
        .fd = fd, .argument = &source, .whole = by_sendfile, .pieces = by_writev};
    return grace_outgoing_unseen(&call, true);
}

static ssize_t by_sendfile64(const struct grace_outgoing *call)
{
    const struct source *source = call->argument;
    return GRACE_BEFORE(sending_file64, sendfile64)(call->fd, source->from, source->from_offset,
                                                    source->length);
}

ssize_t grace_late_sendfile64(int fd, int file, off64_t *offset, size_t length)
{
    struct source source = {.from = file, .from_offset = offset, .length = length};
    struct grace_outgoing call = {
        .fd = fd, .argument = &source, .whole = by_sendfile64, .pieces = by_writev};
    return grace_outgoing_unseen(&call, true);
}

static ssize_t by_splice(const struct grace_outgoing *call)
{
    const struct source *source = call->argument;
    return GRACE_BEFORE(splicing, splice)(source->from, source->from_offset, call->fd,
                                          source->offset, source->length, source->flags);
}

ssize_t grace_late_splice(int from, off64_t *from_offset, int fd, off64_t *offset, size_t length,
                          unsigned flags)
{
    struct source source = {.from = from,
                            .from_offset = from_offset,
                            .offset = offset,
                            .length = length,
                            .flags = flags};
    struct grace_outgoing call = {
        .fd = fd, .argument = &source, .whole = by_splice, .pieces = by_writev};
    return grace_outgoing_unseen(&call, true);
}
