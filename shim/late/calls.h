/*
 * The calls that are redirected while answers are edited, and what they were before. Each has a
 * replacement grace_late_NAME in the file of this folder that is named for its kind: write.c,
 * send.c, file.c. All behave as the call that they stand for, in every respect.
 */
#ifndef GRACE_SHIM_LATE_CALLS_H
#define GRACE_SHIM_LATE_CALLS_H

#include <sys/socket.h>
#include <sys/types.h>

#define GRACE_LATE_CALLS(X)                                                                        \
    X(write)                                                                                       \
    X(__write)                                                                                     \
    X(writev)                                                                                      \
    X(pwritev2)                                                                                    \
    X(pwritev64v2)                                                                                 \
    X(send)                                                                                        \
    X(__send)                                                                                      \
    X(sendto)                                                                                      \
    X(sendmsg)                                                                                     \
    X(sendmmsg)                                                                                    \
    X(sendfile)                                                                                    \
    X(sendfile64)                                                                                  \
    X(splice)                                                                                      \
    GRACE_LATE_CALLS_TIME64(X)

/* On 32 bit, what programs call that were built for a time_t of 64. */
#if __TIMESIZE == 32
#define GRACE_LATE_CALLS_TIME64(X) X(__sendmsg64) X(__sendmmsg64)
#else
#define GRACE_LATE_CALLS_TIME64(X)
#endif

/* Each by a number. NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define GRACE_LATE_NUMBER(name) GRACE_LATE_##name,
enum grace_late_call { GRACE_LATE_CALLS(GRACE_LATE_NUMBER) GRACE_LATE_COUNT };
#undef GRACE_LATE_NUMBER

/* What the target's calls reached before: libc's function, ours around it, or another guest's. Set
 * before the first call is redirected, and stays. */
extern void *grace_late_before[GRACE_LATE_COUNT];
#define GRACE_BEFORE(type, name) ((type *)grace_late_before[GRACE_LATE_##name])

struct iovec;
struct mmsghdr;

ssize_t grace_late_write(int fd, const void *bytes, size_t length);
ssize_t grace_late_writev(int fd, const struct iovec *bytes, int count);
ssize_t grace_late_pwritev2(int fd, const struct iovec *bytes, int count, __off_t offset,
                            int flags);
ssize_t grace_late_pwritev64v2(int fd, const struct iovec *bytes, int count, off64_t offset,
                               int flags);
ssize_t grace_late_send(int fd, const void *bytes, size_t length, int flags);
ssize_t grace_late_sendto(int fd, const void *bytes, size_t length, int flags,
                          const struct sockaddr *address, socklen_t address_length);
ssize_t grace_late_sendmsg(int fd, const struct msghdr *message, int flags);
int grace_late_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
ssize_t grace_late_sendfile(int fd, int file, __off_t *offset, size_t length);
ssize_t grace_late_sendfile64(int fd, int file, off64_t *offset, size_t length);
ssize_t grace_late_splice(int from, off64_t *from_offset, int fd, off64_t *offset, size_t length,
                          unsigned flags);

#endif
