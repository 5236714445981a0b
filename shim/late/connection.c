/*
 * The accepted connections, by descriptor.
 *
 * A descriptor's number is used again and again; the kernel's cookie tells connections apart. One
 * thread at a time has a connection while it sends. A signal handler that sends on the connection
 * that the code below it was just sending on finds that its own thread has it, and is let pass.
 *
 * A thread may leave without giving back what it has: cancelled, or by a jump out of a signal
 * handler. Then the connection is taken from it when it is gone, when the descriptor is another
 * connection's by now, or when it was waited for long enough: from then on that one's bytes pass as
 * they are, and nobody waits for ever. A forked child finds its parent's threads gone.
 */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../answers.h"
#include "../drain.h"
#include "../drain/socket.h"
#include "../raw.h"

#define WAITED    0x80000000u /* somebody waits for the owner */
#define WAIT_MS   20
#define WAIT_MOST 500 /* times */

/* Descriptors above the highest one that there is when editing begins. */
#define SPARE 4096

static struct {
    struct grace_connection *_Atomic list;
    size_t size;
    _Atomic uint32_t round;    /* grows with each beginning */
    _Atomic bool is_finishing; /* only what was begun is handed out */
} table;

/* ---- asking the kernel --------------------------------------------------------------------- */

#define HAS(info, length, field)                                                                   \
    ((length) >= offsetof(struct tcp_info, field) + sizeof(info)->field)

/* False where the kernel cannot tell: not TCP, or a kernel before 4.19. */
static bool tcp_state(int fd, struct tcp_info *info)
{
    socklen_t length = sizeof *info;
    memset(info, 0, sizeof *info);
    return grace_kernel(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, info, &length) == 0 &&
           HAS(info, length, tcpi_bytes_sent);
}

/* Bytes that the client has sent. Its end (FIN) is one more to the kernel (net/ipv4/tcp_input.c,
 * tcp_rcv_nxt_update), and would be taken for a request. */
static uint64_t received(const struct tcp_info *info)
{
    enum { CLOSE_WAIT = 8, LAST_ACK = 9 };
    bool has_ended = info->tcpi_state == CLOSE_WAIT || info->tcpi_state == LAST_ACK;
    return info->tcpi_bytes_received - (has_ended && info->tcpi_bytes_received > 0);
}

/* ---- one connection ------------------------------------------------------------------------ */

/* Nothing was sent yet that we have seen. The kernel's times are milliseconds ago. */
enum grace_answer_fresh grace_connection_fresh(int fd)
{
    struct tcp_info info;
    if (!tcp_state(fd, &info))
        return GRACE_FRESH_UNKNOWN;
    return info.tcpi_last_data_recv <= info.tcpi_last_data_sent ? GRACE_FRESH_YES : GRACE_FRESH_NO;
}

static enum grace_answer_fresh is_fresh(const struct grace_connection *connection, int fd)
{
    struct tcp_info info;
    if (!connection->knows_received)
        return grace_connection_fresh(fd);
    if (!tcp_state(fd, &info))
        return GRACE_FRESH_UNKNOWN;
    return received(&info) > connection->received ? GRACE_FRESH_YES : GRACE_FRESH_NO;
}

void grace_connection_look(struct grace_connection *connection, int fd, char first)
{
    if (grace_answer_asks(&connection->answer, first))
        grace_answer_look(&connection->answer, is_fresh(connection, fd));
}

/* Read before the bytes go out: what the client sends because of them comes later. */
void grace_connection_before(struct grace_connection *connection, int fd,
                             const struct grace_answer *after)
{
    struct tcp_info info;
    if (after->any && !connection->answer.any)
        grace_drain_saw_plain(fd);
    if (!grace_answer_will_ask(after) || !tcp_state(fd, &info))
        return;
    connection->received = received(&info);
    connection->knows_received = true;
}

void grace_connection_sent(struct grace_connection *connection)
{
    atomic_store_explicit(&connection->sent_ms, grace_now_ms(), memory_order_relaxed);
}

static void begin_connection(struct grace_connection *connection, int fd, uint64_t cookie)
{
    struct tcp_info info;
    connection->round = atomic_load(&table.round);
    connection->is_accepted = grace_drain_is_accepted(fd);
    connection->knows_received = false;
    atomic_store(&connection->sent_ms, 0);
    if (connection->is_accepted)
        grace_answer_start(&connection->answer, !tcp_state(fd, &info) || info.tcpi_bytes_sent > 0);
    /* Release: who sees the cookie, sees what belongs to it. */
    atomic_store_explicit(&connection->cookie, cookie, memory_order_release);
}

static bool is_owing(const struct grace_connection *connection)
{
    const char *bytes;
    return connection->is_accepted && connection->answer.state != GRACE_ANSWER_THROUGH &&
           grace_answer_owed(&connection->answer, &bytes) > 0;
}

/* ---- one thread at a time ------------------------------------------------------------------ */

static bool is_gone(uint32_t thread)
{
    return grace_kernel(SYS_tgkill, grace_getpid(), thread, 0) == -ESRCH;
}

/* The owner sends, which takes a while only when the kernel makes it wait. */
static bool will_not_wait(int fd, bool now_only)
{
    return now_only || (grace_kernel(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* Returns 1: taken; 0: let the caller pass; -1: it would have to wait. */
static int own(struct grace_connection *connection, int fd, uint64_t cookie, bool now_only)
{
    uint32_t self = (uint32_t)grace_gettid();
    for (int waits = 0;;) {
        uint32_t owner = 0;
        if (atomic_compare_exchange_strong_explicit(&connection->owner, &owner, self,
                                                    memory_order_acquire, memory_order_relaxed))
            break;
        uint32_t thread = owner & ~WAITED;
        bool is_stale = atomic_load(&connection->owned_for) != cookie || is_gone(thread);
        if (is_stale &&
            atomic_compare_exchange_strong_explicit(&connection->owner, &owner, self,
                                                    memory_order_acquire, memory_order_relaxed))
            break;
        if (thread == self || waits >= WAIT_MOST)
            return 0;
        if (waits > 0 && will_not_wait(fd, now_only))
            return -1;
        if (owner == thread &&
            !atomic_compare_exchange_strong(&connection->owner, &owner, owner | WAITED))
            continue;
        grace_futex_wait(&connection->owner, thread | WAITED, WAIT_MS);
        waits++;
    }
    atomic_store(&connection->owned_for, cookie);
    return 1;
}

void grace_connection_give_back(struct grace_connection *connection)
{
    /* Release: the next owner sees what this one wrote. */
    uint32_t owner = atomic_exchange_explicit(&connection->owner, 0, memory_order_release);
    if (owner & WAITED)
        grace_futex_wake_all(&connection->owner);
}

static struct grace_connection *entry_of(int fd)
{
    struct grace_connection *list = atomic_load_explicit(&table.list, memory_order_acquire);
    return list == NULL || fd < 0 || (size_t)fd >= table.size ? NULL : &list[fd];
}

struct grace_connection *grace_connection_take(int fd, bool now_only, bool *busy)
{
    struct grace_connection *connection = entry_of(fd);
    uint64_t cookie = connection == NULL ? 0 : grace_socket_cookie(fd);
    if (cookie == 0)
        return NULL;
    int owned = own(connection, fd, cookie, now_only);
    *busy = owned < 0;
    if (owned <= 0)
        return NULL;
    bool is_finishing = atomic_load(&table.is_finishing);
    if (!is_finishing &&
        (connection->cookie != cookie || connection->round != atomic_load(&table.round)))
        begin_connection(connection, fd, cookie);
    if (connection->is_accepted && connection->cookie == cookie &&
        (!is_finishing || is_owing(connection)))
        return connection;
    grace_connection_give_back(connection);
    return NULL;
}

uint64_t grace_answers_sent_ms(int fd)
{
    struct grace_connection *connection = entry_of(fd);
    uint64_t cookie = connection == NULL ? 0 : grace_socket_cookie(fd);
    if (cookie == 0 || atomic_load_explicit(&connection->cookie, memory_order_acquire) != cookie)
        return 0;
    return atomic_load_explicit(&connection->sent_ms, memory_order_relaxed);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void find_highest(int fd, void *argument)
{
    int *highest = argument;
    if (fd > *highest)
        *highest = fd;
}

bool grace_late_connections_begin(void)
{
    if (atomic_load(&table.list) == NULL) {
        int highest = 0;
        grace_kernel_each_descriptor(find_highest, &highest);
        size_t size = (size_t)highest + SPARE;
        long memory = grace_kernel(GRACE_SYS_mmap, NULL, size * sizeof(struct grace_connection),
                                   PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (grace_kernel_failed(memory))
            return false;
        table.size = size;
        atomic_store_explicit(&table.list, (struct grace_connection *)memory, memory_order_release);
    }
    atomic_fetch_add(&table.round, 1);
    atomic_store(&table.is_finishing, false);
    return true;
}

/* Send what is owed now, if the kernel takes it. */
static bool settle(int fd)
{
    bool busy = false;
    struct grace_connection *connection = grace_connection_take(fd, true, &busy);
    if (connection == NULL)
        return !busy;
    const char *bytes;
    size_t length = grace_answer_owed(&connection->answer, &bytes);
    long sent = grace_kernel(SYS_sendto, fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    if (sent > 0)
        grace_answer_paid(&connection->answer, (size_t)sent);
    bool settled = (sent < 0 && sent != -EAGAIN) || !is_owing(connection);
    grace_connection_give_back(connection);
    return settled;
}

bool grace_late_connections_end(void)
{
    struct grace_connection *list = atomic_load(&table.list);
    bool settled = true;
    atomic_store(&table.is_finishing, true);
    for (size_t fd = 0; list != NULL && fd < table.size; fd++)
        if (atomic_load(&list[fd].cookie) != 0 && !settle((int)fd))
            settled = false;
    return settled;
}
