/*
 * Writing one line without harm.
 *
 * We are guests at the target's descriptors: it may close 2 and reuse the number for its database,
 * a daemon closes all of them, nobody may be reading the pipe, the terminal may be held by Ctrl-S.
 * So: stderr is only written to while it still is the file it was at the start, nothing waits long,
 * SIGPIPE and SIGTTOU never reach the target, and a descriptor is closed only if it still is the
 * one that we opened. Between looking and writing there remains a moment in which another thread
 * can replace the descriptor; nothing in Linux closes that gap.
 */
#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel.h"
#include "log.h"
#include "strings.h"

/* What a descriptor is, to know it again. */
struct identity {
    bool known;
    mode_t mode;
    dev_t device;
    ino_t inode;
    dev_t terminal; /* st_rdev */
};

static struct identity standard_error;
static const char *standard_error_path; /* NULL: it cannot be opened again */

/* Set once a sink took nothing for the whole of GRACE_LOG_PATIENCE_MS. Relaxed: it only shortens
 * waits. */
static atomic_bool out_of_patience;

static struct identity identify(int fd)
{
    struct stat status;
    if (grace_kernel(GRACE_SYS_fstat, fd, &status) != 0) /* the kernel's struct is libc's */
        return (struct identity){.known = false};
    return (struct identity){.known = true,
                             .mode = status.st_mode,
                             .device = status.st_dev,
                             .inode = status.st_ino,
                             .terminal = status.st_rdev};
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->known && b->known && a->device == b->device && a->inode == b->inode &&
           a->terminal == b->terminal && ((a->mode ^ b->mode) & S_IFMT) == 0;
}

void grace_log_stderr_setup(void)
{
    atomic_store_explicit(&out_of_patience, false, memory_order_relaxed);
    standard_error = identify(2);
    standard_error_path = NULL;
    /* Only these may be opened again: opening another device can have effects of its own. */
    char terminal_settings[256];
    if (!standard_error.known || (!S_ISREG(standard_error.mode) &&
                                  grace_kernel(SYS_ioctl, 2, TCGETS, terminal_settings) != 0))
        return;
    char *path = grace_strings_room(PATH_MAX);
    long length = path == NULL ? 0
                               : grace_kernel(SYS_readlinkat, AT_FDCWD, "/proc/self/fd/2", path,
                                              PATH_MAX - 1);
    if (length <= 0 || path[0] != '/')
        return;
    path[length] = '\0';
    standard_error_path = grace_strings_keep(path);
}

/* ---- writing to a descriptor --------------------------------------------------------------- */

/* Wait until it takes bytes, until `deadline` at most; false when it does not. */
static bool wait_writable(int fd, uint64_t deadline)
{
    for (;;) {
        uint64_t now = grace_kernel_now_ms();
        bool patient = !atomic_load_explicit(&out_of_patience, memory_order_relaxed);
        uint64_t left = patient && now < deadline ? deadline - now : 0;
        struct timespec time = {0, (long)left * 1000000};
        struct pollfd entry = {.fd = fd, .events = POLLOUT};
        long ready = grace_kernel(SYS_ppoll, &entry, 1, &time, NULL, 8);
        if (ready > 0)
            return true; /* also POLLERR: the write then says what is wrong */
        if (ready == -EINTR && left > 0)
            continue;
        atomic_store_explicit(&out_of_patience, true, memory_order_relaxed);
        return false;
    }
}

/* One attempt that does not block where the kernel can be asked not to. */
static long write_some(int fd, mode_t mode, const char *bytes, size_t length)
{
    if (S_ISSOCK(mode))
        return grace_kernel(SYS_sendto, fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
#if defined(SYS_pwritev2) && defined(RWF_NOWAIT)
    if (S_ISFIFO(mode)) {
        struct iovec vector = {(void *)(uintptr_t)bytes, length};
        long written = grace_kernel(SYS_pwritev2, fd, &vector, 1, -1, -1, RWF_NOWAIT);
        if (written != -EOPNOTSUPP && written != -ENOSYS && written != -EINVAL)
            return written;
    }
#endif
    return grace_kernel(SYS_write, fd, bytes, length);
}

static int write_all(int fd, mode_t mode, const char *bytes, size_t length)
{
    uint64_t deadline = grace_kernel_now_ms() + GRACE_LOG_PATIENCE_MS;
    while (length > 0) {
        if (!S_ISREG(mode) && !wait_writable(fd, deadline))
            return -1;
        long written = write_some(fd, mode, bytes, length);
        if (written == -EINTR)
            continue;
        if (written == -EAGAIN) {
            /* Room, but not for the whole line: ppoll would say "ready" again at once. */
            if (grace_kernel_now_ms() >= deadline ||
                atomic_load_explicit(&out_of_patience, memory_order_relaxed)) {
                atomic_store_explicit(&out_of_patience, true, memory_order_relaxed);
                return -1;
            }
            grace_kernel(SYS_nanosleep, (&(struct timespec){0, 1000000}), NULL);
            continue;
        }
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/*
 * SIGPIPE (the reader is gone) and SIGTTOU (a background process at a terminal with `stty tostop`;
 * blocked, it lets the write through) must not reach the target. Both are sent to this thread,
 * so it is enough to block them here and to take back the one that our write caused.
 */
static int write_quietly(int fd, mode_t mode, const char *bytes, size_t length)
{
    const uint64_t pipe_bit = UINT64_C(1) << (SIGPIPE - 1);
    const uint64_t quiet = pipe_bit | UINT64_C(1) << (SIGTTOU - 1);
    uint64_t mask = 0, before = 0, after = 0;
    grace_kernel(SYS_rt_sigprocmask, SIG_BLOCK, &quiet, &mask, sizeof mask);
    grace_kernel(SYS_rt_sigpending, &before, sizeof before);
    int result = write_all(fd, mode, bytes, length);
    if (result != 0 && !(before & pipe_bit)) {
        grace_kernel(SYS_rt_sigpending, &after, sizeof after);
        struct timespec none = {0, 0};
        if (after & pipe_bit)
            grace_kernel(SYS_rt_sigtimedwait, &pipe_bit, NULL, &none, sizeof pipe_bit);
    }
    grace_kernel_set_mask(mask);
    return result;
}

/* Close what we opened, unless somebody closed it meanwhile and the number is another's now. */
static void close_own(int fd, const struct identity *own)
{
    struct identity now = identify(fd);
    if (same(own, &now))
        grace_kernel(SYS_close, fd);
}

/* ---- the sinks ----------------------------------------------------------------------------- */

/*
 * Open a path, write, close. With `expected`, only if it still is that file. A terminal and a FIFO
 * are opened non-blocking, which a descriptor of the target's cannot be made.
 */
static int write_path(const char *path, int flags, const struct identity *expected,
                      const char *bytes, size_t length)
{
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path,
                           flags | O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (fd < 0)
        return -1;
    struct identity own = identify((int)fd);
    int result = -1;
    if (own.known && (expected == NULL || same(&own, expected)))
        result = write_quietly((int)fd, own.mode, bytes, length);
    close_own((int)fd, &own);
    return result;
}

int grace_log_to_file(const char *path, const char *line, size_t length)
{
    return write_path(path, O_CREAT, NULL, line, length);
}

static int send_datagram(const char *socket_path, const char *bytes, size_t length)
{
    long fd = grace_kernel(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct identity own = identify((int)fd);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
    long sent;
    do {
        sent = grace_kernel(SYS_sendto, fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, &address,
                            sizeof address);
    } while (sent == -EINTR);
    close_own((int)fd, &own);
    return sent == (long)length ? 0 : -1;
}

int grace_log_to_syslog(const char *datagram, size_t length)
{
    return send_datagram("/dev/log", datagram, length);
}

int grace_log_to_journal(const char *datagram, size_t length)
{
    return send_datagram("/run/systemd/journal/socket", datagram, length);
}

int grace_log_to_stderr(const char *line, size_t length)
{
    const struct identity *remembered = &standard_error;
    if (!remembered->known)
        return -1;
    /* A terminal first through a description of our own: that one cannot block. */
    if (S_ISCHR(remembered->mode) && standard_error_path != NULL &&
        write_path(standard_error_path, 0, remembered, line, length) == 0)
        return 0;
    struct identity now = identify(2);
    if (same(&now, remembered))
        return write_quietly(2, now.mode, line, length);
    if (standard_error_path != NULL)
        return write_path(standard_error_path, 0, remembered, line, length);
    return -1;
}
