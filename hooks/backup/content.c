#include "backup.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <zstd.h>

#define BUFFER_SIZE (256 * 1024)

static int cannot(const char *what, const char *path, struct grace_error *error)
{
    return grace_error_set(error, "cannot %s %s: %m", what, path);
}

/* ---- as it is ------------------------------------------------------------------------------ */

static int write_all(int to, const char *bytes, size_t length, off_t at, const char *path,
                     struct grace_error *error)
{
    while (length > 0) {
        ssize_t written = pwrite(to, bytes, length, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return cannot("write the copy of", path, error);
        bytes += written;
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

static int read_and_write(int from, int to, off_t at, off_t end, const char *path,
                          struct grace_error *error)
{
    static char buffer[BUFFER_SIZE];
    while (at < end) {
        size_t wanted = end - at < BUFFER_SIZE ? (size_t)(end - at) : BUFFER_SIZE;
        ssize_t got = pread(from, buffer, wanted, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cannot("read", path, error);
        if (got == 0)
            return 0; /* it has become shorter: that is found when it is looked at again */
        if (write_all(to, buffer, (size_t)got, at, path, error) != 0)
            return -1;
        at += got;
    }
    return 0;
}

/* What says that the kernel cannot do it here, rather than that it went wrong. */
static int is_refusal(int number)
{
    return number == EXDEV || number == EINVAL || number == ENOSYS || number == EOPNOTSUPP ||
           number == EPERM || number == EBADF;
}

static int copy_range(int from, int to, off_t at, off_t end, const char *path,
                      struct grace_error *error)
{
    while (at < end) {
        off64_t in = at, out = at;
        ssize_t copied = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied < 0 && !is_refusal(errno))
            return cannot("copy", path, error);
        if (copied <= 0) /* 0 also where the kernel does not know the size */
            return read_and_write(from, to, at, end, path, error);
        at += copied;
    }
    return 0;
}

int grace_content_copy(int from, int to, off_t size, const char *path, struct grace_error *error)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, size) != 0)
        return cannot("write the copy of", path, error);
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0; /* nothing but a hole from here on */
        if (data < 0)
            return copy_range(from, to, at, size, path, error);
        off_t hole = lseek(from, data, SEEK_HOLE);
        off_t end = hole < 0 || hole > size ? size : hole;
        if (data < end && copy_range(from, to, data, end, path, error) != 0)
            return -1;
        at = end > data ? end : size;
    }
    return 0;
}

/* ---- compressed ---------------------------------------------------------------------------- */

struct stream {
    ZSTD_CCtx *context;
    char *input, *output;
    int from, to;
    off_t at; /* in the output */
    const char *path;
    struct grace_error *error;
};

/* Put one piece through; the last one ends the frame. */
static int press(struct stream *stream, size_t length, int last)
{
    ZSTD_inBuffer in = {stream->input, length, 0};
    for (;;) {
        ZSTD_outBuffer out = {stream->output, BUFFER_SIZE, 0};
        size_t left =
            ZSTD_compressStream2(stream->context, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return grace_error_set(stream->error, "cannot compress %s: %s", stream->path,
                                   ZSTD_getErrorName(left));
        if (write_all(stream->to, stream->output, out.pos, stream->at, stream->path,
                      stream->error) != 0)
            return -1;
        stream->at += (off_t)out.pos;
        if (last ? left == 0 : in.pos == in.size)
            return 0;
    }
}

static int press_all(struct stream *stream)
{
    for (;;) {
        ssize_t got = read(stream->from, stream->input, BUFFER_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cannot("read", stream->path, stream->error);
        if (press(stream, (size_t)got, got == 0) != 0)
            return -1;
        if (got == 0)
            return 0;
    }
}

int grace_content_compress(int from, int to, int level, const char *path, struct grace_error *error)
{
    static char input[BUFFER_SIZE], output[BUFFER_SIZE];
    struct stream stream = {ZSTD_createCCtx(), input, output, from, to, 0, path, error};
    if (stream.context == NULL)
        return grace_error_set(error, "out of memory");
    ZSTD_CCtx_setParameter(stream.context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(stream.context, ZSTD_c_checksumFlag, 1);
    int result = press_all(&stream);
    ZSTD_freeCCtx(stream.context);
    return result;
}
