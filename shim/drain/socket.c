/*
 * What tells a socket from the next one of its descriptor: the kernel's cookie. Emulators do not
 * know it (qemu-user); there it is the inode, whose number comes again after 2^32 others.
 */
#include "socket.h"

#include <errno.h>

uint64_t grace_socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    long result = grace_kernel(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &length);
    if (result == 0)
        return cookie;
    return result == -ENOTSOCK || result == -EBADF ? 0 : grace_socket_inode(fd);
}
