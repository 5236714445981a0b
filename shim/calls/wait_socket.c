/*
 * Calls on sockets, as the target makes them: with SO_RCVTIMEO or SO_SNDTIMEO set, the kernel does
 * not restart them. See resume.c. The limit starts anew when a call goes on: it is the socket's,
 * not the call's.
 */
#include "../drain.h"
#include "../resume.h"
#include "../shim.h"

#include <sys/socket.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int accepting(int, struct sockaddr *, socklen_t *);
typedef int accepting_flagged(int, struct sockaddr *, socklen_t *, int);
typedef int connecting(int, const struct sockaddr *, socklen_t);
typedef ssize_t receiving(int, void *, size_t, int);
typedef ssize_t receiving_checked(int, void *, size_t, size_t, int);
typedef ssize_t receiving_from(int, void *, size_t, int, struct sockaddr *, socklen_t *);
typedef ssize_t receiving_from_checked(int, void *, size_t, size_t, int, struct sockaddr *,
                                       socklen_t *);
typedef ssize_t receiving_message(int, struct msghdr *, int);
typedef ssize_t sending(int, const void *, size_t, int);
typedef ssize_t sending_to(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t sending_message(int, const struct msghdr *, int);

int __connect(int fd, const struct sockaddr *address, socklen_t length);
ssize_t __send(int fd, const void *bytes, size_t length, int flags);
ssize_t __recv_chk(int fd, void *buffer, size_t length, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t length, size_t size, int flags,
                       struct sockaddr *restrict address, socklen_t *restrict address_length);

/* While a drain closes listeners an accept may have to be made again, or not to be made. */
#define ACCEPT(fd, call)                                                                           \
    __extension__({                                                                                \
        int accepted_ = -1;                                                                        \
        do {                                                                                       \
            if (IS_GUARDED && grace_accept_refuses(fd))                                            \
                break;                                                                             \
            accepted_ = GRACE_WAIT(call);                                                          \
        } while (accepted_ == -1 && IS_GUARDED && grace_accept_again(fd));                         \
        if (accepted_ >= 0 && IS_GUARDED)                                                          \
            grace_accept_returned(accepted_);                                                      \
        accepted_;                                                                                 \
    })
#define IS_GUARDED                                                                                 \
    __builtin_expect(atomic_load_explicit(&grace_accept_guard, memory_order_relaxed) != 0, 0)

/* libc's header gives the addresses a type that holds any kind of them. */
EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    accepting *real = GRACE_REAL(accepting, "accept");
    return ACCEPT(fd, real(fd, address.__sockaddr__, length));
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags)
{
    accepting_flagged *real = GRACE_REAL(accepting_flagged, "accept4");
    return ACCEPT(fd, real(fd, address.__sockaddr__, length, flags));
}

/* A connection attempt goes on by itself; waiting for it again says EALREADY when the time is up.
 */
static int wait_connected(int fd, const struct sockaddr *address, socklen_t length)
{
    connecting *real = GRACE_REAL(connecting, "connect");
    grace_wait_begin();
    int result = real(fd, address, length);
    while (GRACE_INTERRUPTED(result)) {
        result = real(fd, address, length);
        if (result == -1 && errno == EALREADY)
            errno = EINPROGRESS;
    }
    return result;
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    return wait_connected(fd, address.__sockaddr__, length);
}

EXPORT int __connect(int fd, const struct sockaddr *address, socklen_t length)
{
    return wait_connected(fd, address, length);
}

EXPORT ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
    return GRACE_WAIT(GRACE_REAL(receiving, "recv")(fd, buffer, length, flags));
}

EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t length, size_t size, int flags)
{
    return GRACE_WAIT(GRACE_REAL(receiving_checked, "__recv_chk")(fd, buffer, length, size, flags));
}

EXPORT ssize_t recvfrom(int fd, void *restrict buffer, size_t length, int flags,
                        __SOCKADDR_ARG address, socklen_t *restrict address_length)
{
    return GRACE_WAIT(GRACE_REAL(receiving_from, "recvfrom")(fd, buffer, length, flags,
                                                             address.__sockaddr__, address_length));
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buffer, size_t length, size_t size, int flags,
                              struct sockaddr *restrict address, socklen_t *restrict address_length)
{
    return GRACE_WAIT(GRACE_REAL(receiving_from_checked, "__recvfrom_chk")(
        fd, buffer, length, size, flags, address, address_length));
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return GRACE_WAIT(GRACE_REAL(receiving_message, "recvmsg")(fd, message, flags));
}

EXPORT ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    return GRACE_WAIT(GRACE_REAL(sending, "send")(fd, bytes, length, flags));
}

EXPORT ssize_t __send(int fd, const void *bytes, size_t length, int flags)
{
    return send(fd, bytes, length, flags);
}

EXPORT ssize_t sendto(int fd, const void *bytes, size_t length, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t address_length)
{
    return GRACE_WAIT(GRACE_REAL(sending_to, "sendto")(fd, bytes, length, flags,
                                                       address.__sockaddr__, address_length));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return GRACE_WAIT(GRACE_REAL(sending_message, "sendmsg")(fd, message, flags));
}

/* On 32 bit, what programs call that were built for a time_t of 64 (-D_TIME_BITS=64). */
#if __TIMESIZE == 32
ssize_t __recvmsg64(int fd, struct msghdr *message, int flags);
ssize_t __sendmsg64(int fd, const struct msghdr *message, int flags);

EXPORT ssize_t __recvmsg64(int fd, struct msghdr *message, int flags)
{
    return GRACE_WAIT(GRACE_REAL(receiving_message, "__recvmsg64")(fd, message, flags));
}

EXPORT ssize_t __sendmsg64(int fd, const struct msghdr *message, int flags)
{
    return GRACE_WAIT(GRACE_REAL(sending_message, "__sendmsg64")(fd, message, flags));
}
#endif

/* By names of their own, for late/: the plain ones may lead to somebody else's. */
#define OWN_NAME(call) __attribute__((alias(#call), visibility("hidden")))
extern __typeof__(send) grace_wait_send OWN_NAME(send);
extern __typeof__(sendto) grace_wait_sendto OWN_NAME(sendto);
extern __typeof__(sendmsg) grace_wait_sendmsg OWN_NAME(sendmsg);
