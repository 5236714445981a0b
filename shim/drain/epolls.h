/* Descriptors of epoll that watch a listener. See epolls.c. Conductor only. */
#ifndef GRACE_SHIM_DRAIN_EPOLLS_H
#define GRACE_SHIM_DRAIN_EPOLLS_H

#include <stdint.h>
#include <sys/epoll.h>

#define GRACE_EPOLLS 64
struct grace_epolls {
    unsigned count;
    struct {
        int epoll;
        struct epoll_event event;
    } list[GRACE_EPOLLS];
};

/* Take descriptor `fd`, which is the socket with this inode, out of every epoll of this process
 * that watches it; `taken` says of which and how. */
void grace_epolls_take(int fd, uint64_t inode, struct grace_epolls *taken);

/* Have the same epolls watch, in the same manner, what the descriptor is now. */
void grace_epolls_give_back(int fd, const struct grace_epolls *taken);

#endif
