/*
 * How the target's listening sockets close to new connections, so that none that has begun is lost
 * and no event loop notices.
 *
 *   OPEN ──▶ CLOSING: no new connection begins; those in the backlog are still accepted
 *        ──▶ SILENT:  the descriptor is another listener, to which nobody ever connects
 *        ──▶ RETURNED: the stop was taken back, and the descriptor is what it was
 *
 * At a TCP listener of this process alone no new connection begins any more (newcomers.c). When its
 * backlog is empty and no handshake is half done, the silent listener takes its number, and
 * shutdown ends the old one: from then on connections are refused or, with SO_REUSEPORT, go to the
 * next instance. A Unix listener refuses new connections after shutdown and still gives out its
 * backlog.
 *
 * One that others have open, too, is neither guarded like that nor shut down: its number is given
 * to the silent one, and that is all. Where these are forks of the same program, that is put off
 * for a moment, to see whether they drain as well: then nobody is left to accept what waits, and it
 * is closed by all of them together as one of this process alone.
 *
 * Who sits in accept is woken by a signal; when that has come, what was accepted is in sight.
 */
#include "listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "addresses.h"
#include "diag.h"
#include "epolls.h"
#include "holders.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "newcomers.h"
#include "shim/drain.h"
#include "socket.h"
#include "threads.h"

#define LISTENERS 128

/* How long a handshake that its client does not complete may keep a listener open. */
#define HANDSHAKE_PATIENCE_US 1500000

/* How long nothing may have been on its way into a backlog. */
#define EMPTY_FOR_US 1500

/* A thread that has just accepted the last connection may not have its descriptor yet: how long it
 * is given to come into sight. One that is woken has it by then; one that blocks the signal is not
 * woken. */
#define SETTLED_AFTER_US 15000
#define WOKEN_AFTER_US   1000000

/* How long after our own signal the family's may come, and how often is looked for it at least; the
 * same again after each that begins to drain, or lets the listener go, but not for ever. */
#define FAMILY_PATIENCE_US    200000
#define FAMILY_PATIENCE_LOOKS 5
#define FAMILY_MOST_US        5000000
#define FAMILY_LOOK_US        10000
#define FAMILY_LOOK_SHARE     3 /* a third of the time goes into it, at most */

/* Originals are kept out of the way of the target's own descriptors. */
#define KEPT_FROM 512

enum { OPEN, CLOSING, SILENT, RETURNED };

struct listener {
    int fd;
    _Atomic uint32_t state; /* read by the target's threads, too */
    int domain, type;
    uint64_t cookie, inode;
    enum grace_holders held;
    int flags, descriptor_flags;
    int kept; /* the original, once it is silent; else -1 */
    enum grace_newcomers newcomers;
    uint64_t closing_since_us, empty_since_us;
    int backlog; /* what listen was told */
    socklen_t length;
    struct sockaddr_storage address;
};

static struct {
    _Atomic uint32_t count;
    struct listener list[LISTENERS];
    uint64_t found_us, looked_us, closed_us;
    uint64_t family, family_changed_us, look_cost_us;
    unsigned family_looks; /* since it has changed */
} all GRACE_ROOM(listeners);

/* Whether it is ours to close: nobody goes on accepting from it. */
static bool is_ours(const struct listener *listener)
{
    return listener->held <= GRACE_HELD_LEAVING;
}

/* ---- finding ------------------------------------------------------------------------------- */

static int longest_backlog(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (grace_kernel(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        return SOMAXCONN;
    return (int)info.tcpi_sacked;
}

static void look_at(int fd, void *unused)
{
    (void)unused;
    uint32_t count = atomic_load_explicit(&all.count, memory_order_relaxed);
    if (count == LISTENERS || !grace_socket_listens(fd))
        return;
    struct listener *listener = &all.list[count];
    memset(listener, 0, sizeof *listener);
    listener->fd = fd;
    listener->kept = -1;
    listener->domain = grace_socket_option(fd, SOL_SOCKET, SO_DOMAIN);
    listener->type = grace_socket_option(fd, SOL_SOCKET, SO_TYPE);
    bool known = listener->domain == AF_UNIX ||
                 ((listener->domain == AF_INET || listener->domain == AF_INET6) &&
                  grace_socket_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
    if (!known)
        return;
    listener->cookie = grace_socket_cookie(fd);
    listener->inode = grace_socket_inode(fd);
    listener->flags = (int)grace_kernel(SYS_fcntl, fd, F_GETFL);
    listener->descriptor_flags = (int)grace_kernel(SYS_fcntl, fd, F_GETFD);
    listener->backlog = longest_backlog(fd);
    listener->length = sizeof listener->address;
    grace_kernel(SYS_getsockname, fd, &listener->address, &listener->length);
    grace_drain_address_add(fd);
    atomic_store_explicit(&all.count, count + 1, memory_order_release);
}

/* Learn who else has them, those that have not begun to close. */
static void look_for_holders(void)
{
    uint64_t began = grace_now_us();
    uint32_t count = atomic_load(&all.count);
    uint64_t inodes[LISTENERS] = {0};
    enum grace_holders held[LISTENERS] = {GRACE_HELD_ALONE};
    for (uint32_t i = 0; i < count; i++)
        inodes[i] = all.list[i].inode;
    uint64_t family = grace_holders_look(inodes, held, count);
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load(&all.list[i].state) == OPEN)
            all.list[i].held = held[i];
    all.looked_us = grace_now_us();
    all.look_cost_us = all.looked_us - began;
    all.family_looks++;
    if (all.family != family) {
        all.family_changed_us = all.looked_us;
        all.family_looks = 0;
    }
    all.family = family;
}

bool grace_listeners_find(void)
{
    atomic_store(&all.count, 0);
    grace_kernel_each_descriptor(look_at, NULL);
    if (atomic_load(&all.count) == 0)
        return false;
    /* Once the others know that we drain, any of them may close a common listener. */
    atomic_store(&grace_accept_guard, 1);
    grace_threads_begin();
    grace_holders_join();
    look_for_holders();
    all.found_us = all.family_changed_us = all.looked_us;
    all.family_looks = 0;
    return true;
}

/* ---- what is still to be accepted ---------------------------------------------------------- */

/* Connections that wait for accept; at least one where only that much is known. A TCP listener that
 * another of the family has ended already has none, but can be read from: its end. */
static unsigned backlog_of(const struct listener *listener, int fd)
{
    if (listener->domain != AF_UNIX && !grace_socket_listens(fd))
        return 0;
    if (listener->domain == AF_UNIX) {
        int waiting = grace_diag_unix_backlog(listener->inode);
        if (waiting >= 0)
            return (unsigned)waiting;
        return atomic_load(&listener->state) == OPEN && grace_socket_readable(fd) ? 1 : 0;
    }
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (grace_kernel(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
        info.tcpi_unacked > 0)
        return info.tcpi_unacked;
    return grace_socket_readable(fd) ? 1 : 0;
}

static unsigned port_of(const struct listener *listener)
{
    const struct sockaddr_in *ipv4 = (const void *)&listener->address;
    return ntohs(ipv4->sin_port); /* at the same place in IPv6's */
}

static bool handshakes_are_over(const struct listener *listener, uint64_t now_us)
{
    if (listener->domain == AF_UNIX || now_us - listener->closing_since_us > HANDSHAKE_PATIENCE_US)
        return true;
    if (grace_diag_handshakes(listener->domain, port_of(listener)) > 0)
        return false;
    /* An IPv6 listener has IPv4 handshakes as well; they are listed as what they are. */
    return listener->domain != AF_INET6 || grace_diag_handshakes(AF_INET, port_of(listener)) <= 0;
}

/* ---- closing ------------------------------------------------------------------------------- */

static void begin_closing(struct listener *listener, uint64_t now_us)
{
    listener->closing_since_us = now_us;
    if (is_ours(listener) && listener->domain == AF_UNIX) {
        atomic_store(&listener->state, CLOSING);
        grace_kernel(SYS_shutdown, listener->fd, SHUT_RD);
        return;
    }
    if (is_ours(listener))
        listener->newcomers = grace_newcomers_keep_out(listener->fd);
    atomic_store(&listener->state, CLOSING);
}

/* A listener without a name that anybody could know. */
static int make_silent(int flags)
{
    const sa_family_t family = AF_UNIX;
    long fd =
        grace_kernel(SYS_socket, AF_UNIX,
                     SOCK_STREAM | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -1;
    if (grace_kernel(SYS_bind, fd, &family, sizeof family) == 0 &&
        grace_kernel(SYS_listen, fd, 1) == 0)
        return (int)fd;
    grace_kernel(SYS_close, fd);
    return -1;
}

static int duplicate(int fd)
{
    long copy = grace_kernel(SYS_fcntl, fd, F_DUPFD_CLOEXEC, KEPT_FROM);
    return (int)(copy >= 0 ? copy : grace_kernel(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
}

/* Give a descriptor's number to another open file, in the eyes of epoll, too. */
static void replace(const struct listener *listener, uint64_t inode_now, int by)
{
    struct grace_epolls epolls = {.count = 0};
    grace_epolls_take(listener->fd, inode_now, &epolls);
    grace_kernel(SYS_dup3, by, listener->fd,
                 listener->descriptor_flags & FD_CLOEXEC ? O_CLOEXEC : 0);
    grace_epolls_give_back(listener->fd, &epolls);
}

static bool silence(struct listener *listener)
{
    /* The target may have closed it, or put something else in its place. */
    if (grace_socket_cookie(listener->fd) != listener->cookie) {
        atomic_store(&listener->state, SILENT);
        return true;
    }
    int silent = make_silent(listener->flags);
    if (silent < 0)
        return false;
    listener->kept = duplicate(listener->fd);
    atomic_store(&listener->state, SILENT); /* before anybody can meet the silent one */
    replace(listener, listener->inode, silent);
    grace_kernel(SYS_close, silent);
    return true;
}

/* Descriptors that are copies of one another go silent together; then the original ends. */
static bool silence_with_copies(struct listener *listener, int signo)
{
    bool done = true;
    int kept = -1;
    for (uint32_t i = 0; i < atomic_load(&all.count); i++) {
        struct listener *other = &all.list[i];
        if (other->cookie == listener->cookie && atomic_load(&other->state) != SILENT)
            done = silence(other) && done;
        if (other->cookie == listener->cookie && other->kept >= 0)
            kept = other->kept;
    }
    if (is_ours(listener) && kept >= 0)
        grace_kernel(SYS_shutdown, kept, SHUT_RD);
    for (uint32_t i = 0; i < atomic_load(&all.count); i++)
        if (all.list[i].cookie == listener->cookie)
            grace_threads_wake_accept(all.list[i].fd, signo);
    return done;
}

/* Whether what others have open, too, is left for the moment as it is. */
static bool is_put_off(const struct listener *listener, uint64_t now_us)
{
    if (is_ours(listener) || listener->held == GRACE_HELD_GIVER)
        return false;
    if (listener->held == GRACE_HELD_FAMILY)
        return (all.looked_us - all.family_changed_us < FAMILY_PATIENCE_US ||
                all.family_looks < FAMILY_PATIENCE_LOOKS) &&
               now_us - all.found_us < FAMILY_MOST_US;
    return now_us - all.found_us < FAMILY_PATIENCE_US && backlog_of(listener, listener->fd) > 0;
}

/*
 * Between being a handshake and being in the backlog a connection is neither, for an instant of the
 * kernel's: what is empty has to be so for a moment.
 */
static bool is_through(struct listener *listener, uint64_t now_us)
{
    if (backlog_of(listener, listener->fd) > 0 || !handshakes_are_over(listener, now_us) ||
        backlog_of(listener, listener->fd) > 0) {
        listener->empty_since_us = 0;
        return false;
    }
    if (listener->empty_since_us == 0)
        listener->empty_since_us = now_us;
    return listener->domain == AF_UNIX || now_us - listener->empty_since_us >= EMPTY_FOR_US;
}

static bool close_one(struct listener *listener, uint64_t now_us, int signo)
{
    if (atomic_load(&listener->state) == OPEN) {
        if (is_put_off(listener, now_us))
            return false;
        begin_closing(listener, now_us);
    }
    if (is_ours(listener) && !is_through(listener, now_us))
        return false;
    if (!silence_with_copies(listener, signo))
        return false;
    grace_log(GRACE_LOG_DEBUG, "drain", "listener %d (%s) is closed to new connections",
              listener->fd, is_ours(listener) ? "private" : "shared");
    return true;
}

bool grace_listeners_close(uint64_t now_us, int signo)
{
    bool all_silent = true, family = false;
    for (uint32_t i = 0; i < atomic_load(&all.count); i++) {
        if (atomic_load(&all.list[i].state) == SILENT)
            continue;
        all.closed_us = now_us;
        if (close_one(&all.list[i], now_us, signo))
            continue;
        all_silent = false;
        family = family || all.list[i].held == GRACE_HELD_FAMILY;
    }
    uint64_t pause_us = all.look_cost_us * FAMILY_LOOK_SHARE;
    if (pause_us < FAMILY_LOOK_US)
        pause_us = FAMILY_LOOK_US;
    if (family && now_us - all.looked_us >= pause_us)
        look_for_holders();
    uint64_t settled_us = grace_threads_are_woken() ? SETTLED_AFTER_US : WOKEN_AFTER_US;
    return all_silent && now_us - all.closed_us >= settled_us;
}

/* ---- around the target's accept ------------------------------------------------------------ */

_Atomic uint32_t grace_accept_guard;
__thread bool grace_accept_after_poll __attribute__((tls_model("initial-exec")));

static const struct listener *listener_at(int fd)
{
    uint32_t count = atomic_load_explicit(&all.count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (all.list[i].fd == fd)
            return &all.list[i];
    return NULL;
}

static bool came_from_poll(const struct listener *listener)
{
    bool polled = grace_accept_after_poll && !(listener->flags & O_NONBLOCK);
    grace_accept_after_poll = false;
    if (polled)
        errno = ECONNABORTED;
    return polled;
}

bool grace_accept_refuses(int fd)
{
    const struct listener *listener = listener_at(fd);
    return listener != NULL && atomic_load(&listener->state) == SILENT && came_from_poll(listener);
}

bool grace_accept_again(int fd)
{
    const struct listener *listener = errno == EINVAL ? listener_at(fd) : NULL;
    if (listener == NULL || came_from_poll(listener))
        return false;
    /* Shut down and empty; in a moment it is the silent one. */
    while (atomic_load(&listener->state) < SILENT) {
        struct timespec moment = {0, 1000000};
        grace_kernel(SYS_nanosleep, &moment, NULL);
    }
    return grace_socket_listens(fd); /* it is the target's to close it meanwhile */
}

/* ---- afterwards ---------------------------------------------------------------------------- */

static bool is_copy(uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (all.list[i].cookie == all.list[index].cookie)
            return true;
    return false;
}

struct grace_listeners_count grace_listeners_count(void)
{
    struct grace_listeners_count count = {0, 0, 0, 0};
    for (uint32_t i = 0; i < atomic_load(&all.count); i++) {
        const struct listener *listener = &all.list[i];
        if (is_copy(i))
            continue;
        count.private_ones += is_ours(listener);
        count.shared += !is_ours(listener);
        count.silent += atomic_load(&listener->state) == SILENT;
        if (is_ours(listener) && atomic_load(&listener->state) == CLOSING)
            count.waiting += backlog_of(listener, listener->fd);
    }
    return count;
}

void grace_listeners_release(void)
{
    for (uint32_t i = 0; i < atomic_load(&all.count); i++) {
        if (all.list[i].kept >= 0)
            grace_kernel(SYS_close, all.list[i].kept);
        all.list[i].kept = -1;
    }
    grace_holders_leave();
}

void grace_listeners_forget(void)
{
    atomic_store(&all.count, 0);
    grace_holders_leave();
}

/* A Unix socket that was shut down remains so: another one takes its name, with its rights. */
static void make_again(struct listener *listener)
{
    const struct sockaddr_un *address = (const void *)&listener->address;
    const char *path = address->sun_path;
    struct stat rights;
    bool has_path = listener->length > sizeof(sa_family_t) && path[0] != '\0';
    bool known = has_path && stat(path, &rights) == 0;
    grace_kernel(SYS_close, listener->kept);
    if (known)
        grace_kernel(SYS_unlinkat, AT_FDCWD, path, 0);
    listener->kept = (int)grace_kernel(
        SYS_socket, AF_UNIX,
        listener->type | SOCK_CLOEXEC | (listener->flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), 0);
    grace_kernel(SYS_bind, listener->kept, address, listener->length);
    if (!known)
        return;
    grace_kernel(SYS_fchownat, AT_FDCWD, path, rights.st_uid, rights.st_gid, 0);
    grace_kernel(SYS_fchmodat, AT_FDCWD, path, rights.st_mode & 07777);
}

/* A listener that was shut down listens again, at its old address. */
static void listen_again(struct listener *listener)
{
    if (listener->domain == AF_UNIX)
        make_again(listener);
    else
        grace_kernel(SYS_bind, listener->kept, &listener->address, listener->length);
    if (grace_kernel(SYS_listen, listener->kept, listener->backlog) != 0)
        grace_log(GRACE_LOG_ERROR, "drain", "listener %d cannot listen again", listener->fd);
}

/* Whoever sits in accept of the silent one is woken, and makes the call anew. */
static void put_back(struct listener *listener)
{
    if (listener->kept >= 0) {
        grace_kernel(SYS_shutdown, listener->fd, SHUT_RD);
        replace(listener, grace_socket_inode(listener->fd), listener->kept);
        grace_kernel(SYS_close, listener->kept);
        listener->kept = -1;
    }
    grace_newcomers_let_in(listener->fd, listener->newcomers);
    atomic_store(&listener->state, RETURNED);
}

/* A copy of one that had to be made again becomes a copy of the new one. */
static void make_copies_listen(uint32_t index)
{
    struct listener *first = &all.list[index];
    bool was_shut = is_ours(first) && atomic_load(&first->state) != OPEN &&
                    !grace_socket_listens(first->kept >= 0 ? first->kept : first->fd);
    bool was_unix =
        is_ours(first) && atomic_load(&first->state) != OPEN && first->domain == AF_UNIX;
    if (first->kept < 0 && (was_shut || was_unix))
        first->kept = duplicate(first->fd);
    if ((!was_shut && !was_unix) || first->kept < 0)
        return;
    listen_again(first);
    for (uint32_t i = index + 1; i < atomic_load(&all.count); i++) {
        struct listener *copy = &all.list[i];
        if (copy->cookie != first->cookie || first->domain != AF_UNIX)
            continue;
        if (copy->kept >= 0)
            grace_kernel(SYS_close, copy->kept);
        copy->kept = duplicate(first->kept);
    }
}

void grace_listeners_put_back(void)
{
    for (uint32_t i = 0; i < atomic_load(&all.count); i++)
        if (!is_copy(i))
            make_copies_listen(i);
    for (uint32_t i = 0; i < atomic_load(&all.count); i++)
        put_back(&all.list[i]);
    grace_holders_leave();
}
