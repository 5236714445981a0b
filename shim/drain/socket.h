/* Asking about a socket by its descriptor, straight to the kernel. Async-signal-safe. */
#ifndef GRACE_SHIM_DRAIN_SOCKET_H
#define GRACE_SHIM_DRAIN_SOCKET_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "shim/raw.h"

/* An option that is an int; -1: not a socket, or it does not know the option. */
static inline int grace_socket_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    return grace_kernel(SYS_getsockopt, fd, level, name, &value, &length) == 0 ? value : -1;
}

/* The socket's own number, which no other has until the next boot; 0: not a socket. */
uint64_t grace_socket_cookie(int fd);

static inline bool grace_socket_listens(int fd)
{
    return grace_socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

static inline bool grace_socket_readable(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    struct timespec now = {0, 0};
    return grace_kernel(SYS_ppoll, &event, 1, &now, NULL, sizeof(uint64_t)) == 1 &&
           (event.revents & POLLIN);
}

static inline uint64_t grace_socket_inode(int fd)
{
    struct stat status;
    memset(&status, 0, sizeof status);
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

#endif
