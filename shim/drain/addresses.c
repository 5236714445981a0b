/*
 * The addresses at which connections are accepted here, by which an accepted connection is told
 * from one that the target made itself: it has a listener's address as its own. Connections to
 * others (a database, even on the same host) have a port of their own there.
 *
 * A process without a listener (a child that serves one connection) has to guess: every address
 * that somebody listens at here; and, since whoever did may have stopped by now, every connection
 * with SO_REUSEADDR, which is a listener's as a rule and handed down to what it accepts.
 *
 * Written by the conductor before anyone asks, and only added to; read by any thread. Of each port
 * is also noted whether an answer of plain HTTP was seen there, by whoever sends one.
 */
#include "addresses.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hooks/room.h"
#include "shim/drain.h"
#include "shim/raw.h"
#include "socket.h"

#define NAMES 32

#define WORDS (65536 / 64)
typedef _Atomic uint64_t port_set[WORDS]; /* a bit for each */

static struct {
    port_set listening;     /* TCP */
    port_set plain;         /* of these, where answers were seen that are in no TLS */
    _Atomic uint32_t names; /* Unix: how many are listed */
    struct {
        socklen_t length;
        struct sockaddr_un address;
    } name[NAMES];
    _Atomic uint32_t guess; /* there is no listener here to know by */
} known GRACE_ROOM(addresses);

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    struct sockaddr_un local;
};

static void add_port(_Atomic uint64_t *ports, unsigned port)
{
    atomic_fetch_or_explicit(&ports[port / 64 % WORDS], UINT64_C(1) << port % 64,
                             memory_order_release);
}

static bool has_port(const _Atomic uint64_t *ports, unsigned port)
{
    uint64_t word = atomic_load_explicit(&ports[port / 64 % WORDS], memory_order_acquire);
    return (word >> port % 64 & 1) != 0;
}

/* ---- adding -------------------------------------------------------------------------------- */

void grace_drain_address_port(unsigned port, void *unused)
{
    (void)unused;
    add_port(known.listening, port);
}

void grace_drain_address_guess(void)
{
    atomic_store_explicit(&known.guess, 1, memory_order_release);
}

static void add_name(const struct sockaddr_un *address, socklen_t length)
{
    uint32_t count = atomic_load_explicit(&known.names, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (known.name[i].length == length && memcmp(&known.name[i].address, address, length) == 0)
            return;
    if (count == NAMES) {
        grace_drain_address_guess();
        return;
    }
    known.name[count].length = length;
    memcpy(&known.name[count].address, address, length);
    atomic_store_explicit(&known.names, count + 1, memory_order_release);
}

/* The local address of a socket; false: it is none. */
static bool own_address(int fd, union address *address, socklen_t *length)
{
    *length = sizeof *address;
    return grace_kernel(SYS_getsockname, fd, address, length) == 0 && *length <= sizeof *address;
}

static unsigned port_of(const union address *address)
{
    in_port_t port =
        address->any.sa_family == AF_INET ? address->ipv4.sin_port : address->ipv6.sin6_port;
    return ntohs(port);
}

void grace_drain_address_add(int listener)
{
    union address address = {.any = {0}};
    socklen_t length;
    if (!own_address(listener, &address, &length))
        return;
    if (address.any.sa_family == AF_UNIX)
        add_name(&address.local, length);
    else if (address.any.sa_family == AF_INET || address.any.sa_family == AF_INET6)
        grace_drain_address_port(port_of(&address), NULL);
}

/* TLS of the kernel's own (kTLS) is given plain bytes. */
static bool encrypts(int fd)
{
    char name[16] = "";
    socklen_t length = sizeof name;
    return grace_kernel(SYS_getsockopt, fd, IPPROTO_TCP, TCP_ULP, name, &length) == 0 && length > 0;
}

void grace_drain_saw_plain(int fd)
{
    union address address = {.any = {0}};
    socklen_t length;
    if (own_address(fd, &address, &length) && address.any.sa_family != AF_UNIX && !encrypts(fd))
        add_port(known.plain, port_of(&address));
}

void grace_drain_addresses_forget(void)
{
    for (size_t i = 0; i < WORDS; i++) {
        atomic_store_explicit(&known.listening[i], 0, memory_order_relaxed);
        atomic_store_explicit(&known.plain[i], 0, memory_order_relaxed);
    }
    atomic_store(&known.names, 0);
    atomic_store(&known.guess, 0);
}

/* ---- asking -------------------------------------------------------------------------------- */

bool grace_drain_address_has_port(unsigned port)
{
    return has_port(known.listening, port);
}

bool grace_drain_address_is_plain(int fd)
{
    union address address = {.any = {0}};
    socklen_t length;
    return own_address(fd, &address, &length) && has_port(known.plain, port_of(&address));
}

/* A name that the kernel gave a socket which asked for none: a zero byte and five digits. */
static bool is_autobound(const struct sockaddr_un *address, socklen_t length)
{
    if (length != offsetof(struct sockaddr_un, sun_path) + 6 || address->sun_path[0] != '\0')
        return false;
    for (int i = 1; i <= 5; i++)
        if (strchr("0123456789abcdef", address->sun_path[i]) == NULL)
            return false;
    return true;
}

static bool is_known_name(const struct sockaddr_un *address, socklen_t length)
{
    if (length <= offsetof(struct sockaddr_un, sun_path))
        return false; /* without a name: the end that connected */
    uint32_t count = atomic_load_explicit(&known.names, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (known.name[i].length == length && memcmp(&known.name[i].address, address, length) == 0)
            return true;
    return atomic_load_explicit(&known.guess, memory_order_acquire) != 0 &&
           !is_autobound(address, length);
}

static bool is_stream(int fd)
{
    int type = grace_socket_option(fd, SOL_SOCKET, SO_TYPE);
    return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

static bool is_guessed(int fd)
{
    return atomic_load_explicit(&known.guess, memory_order_acquire) != 0 &&
           grace_socket_option(fd, SOL_SOCKET, SO_REUSEADDR) > 0;
}

bool grace_drain_is_accepted(int fd)
{
    union address address = {.any = {0}};
    socklen_t length;
    if (!own_address(fd, &address, &length))
        return false;
    switch (address.any.sa_family) {
    case AF_INET:
    case AF_INET6:
        return (grace_drain_address_has_port(port_of(&address)) || is_guessed(fd)) && is_stream(fd);
    case AF_UNIX:
        return is_known_name(&address.local, length) && is_stream(fd);
    default:
        return false;
    }
}
