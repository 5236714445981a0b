/* Where readiness is told: a TCP port or a Unix socket. */
#ifndef GRACE_HOOKS_READY_ADDRESS_H
#define GRACE_HOOKS_READY_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "hooks/grace_hook.h"

struct grace_ready_address {
    const char *text; /* as in the config */
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_un local;
    } socket;
    socklen_t length;
    int everywhere; /* "*:PORT": IPv4 too */
};

/* "HOST:PORT" with a numeric address or localhost, "[IPV6]:PORT", "*:PORT", or "unix:/PATH".
 * Returns 0, or -1 with the error set. */
int grace_ready_parse_address(struct grace_ready_address *address, const char *text,
                              struct grace_error *error);

#endif
