/*
 * Watching the accepted connections, by what the kernel knows of them.
 *
 * A TCP connection is idle when nothing is queued either way and what was sent last was sent after
 * what was received last: an answer is out, and no request came behind it. One that has received
 * and never sent is busy. One that has never received anything is idle. All that only after a time
 * of quiet: the pause between two parts of an answer is not its end.
 *
 * The kernel's times tick with its jiffies, and a fast server answers within one: equal times do
 * not tell an answer from a request that came right behind it. What does: a thread that sits in a
 * read of it; or the other side's acknowledgement, which came alone after what it sent last, so
 * something was sent to it after that. It may have come within the same jiffy, which is how a
 * connection's first answer is acknowledged: one that sent a single segment and is quiet for long
 * has its answer. Of any other equal is busy until half of the time is over, and then while it is
 * young: a client that never pauses sends its next request within the tick of the answer before.
 *
 * Where there may be TLS, a connection in its first exchange may have been sent no answer yet, but
 * session tickets (tickets.c). Then it is busy until a thread sits in a read of it, until it was
 * quiet for half of the time, or until half of the time is over. Where a few answers of plain HTTP
 * would look the same, which is what most of these are, being quiet for long is enough.
 *
 * For a Unix connection the kernel keeps no times, and an emulator passes none on. It is idle when
 * nothing is queued and a thread sits in a read of it, or when it was seen to send since the drain
 * began and is quiet; of any other nothing is known until half of the time is over.
 */
#include "connections.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "addresses.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "newcomers.h"
#include "shim/answers.h"
#include "shim/drain.h"
#include "socket.h"
#include "threads.h"
#include "tickets.h"

#define DESCRIPTORS (1 << 20)
#define SAMPLES     16

/* For a connection whose first answer came within a jiffy. */
#define LONG_QUIET_MS 1000

/* After its handshake, until what a deaf one did not hear has come again. */
#define DEAF_QUIET_MS 1500

enum kind { OTHER, TCP, LOCAL };
enum state { GONE, BUSY, IDLE };

struct connection {
    uint64_t cookie; /* 0: nothing is known of the descriptor */
    uint32_t seen;   /* in which look */
    uint8_t kind;    /* enum kind */
    uint8_t state;   /* enum state, as of the last look */
    bool half_closed;
    bool was_deaf; /* since its handshake: see newcomers.c */
};

static struct {
    struct connection *list; /* by descriptor */
    int highest;
    uint32_t look;
    unsigned finished;
    unsigned samples; /* of what was there at the last look */
    int sample[SAMPLES];
} table;

bool grace_connections_begin(void)
{
    grace_connections_end();
    long list =
        grace_kernel(GRACE_SYS_mmap, NULL, sizeof *table.list * DESCRIPTORS, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (grace_kernel_failed(list))
        return false;
    table.list = (struct connection *)list; /* NOLINT(performance-no-int-to-ptr) */
    table.highest = -1;
    table.look = 0;
    table.finished = 0;
    return true;
}

void grace_connections_end(void)
{
    if (table.list != NULL)
        grace_kernel(SYS_munmap, table.list, sizeof *table.list * DESCRIPTORS);
    table.list = NULL;
}

/* ---- one connection ------------------------------------------------------------------------ */

static int queued_to_read(int fd)
{
    int bytes = 0;
    return grace_kernel(SYS_ioctl, fd, SIOCINQ, &bytes) == 0 ? bytes : 0;
}

/* By the kernel's times; `quiet` in milliseconds. */
static bool looks_answered(const struct tcp_info *info, uint32_t quiet,
                           const struct grace_connections_look *how)
{
    return info->tcpi_last_data_sent < info->tcpi_last_data_recv ||
           info->tcpi_last_ack_recv < info->tcpi_last_data_recv ||
           (how->unknown_is_idle && (uint64_t)quiet * 1000 >= how->unknown_us) ||
           (info->tcpi_data_segs_in == 1 && quiet >= LONG_QUIET_MS);
}

/* Whether what looks like an answer may be tickets, with the request behind them still in work. */
static bool may_be_tickets(int fd, const struct tcp_info *info, uint32_t quiet,
                           const struct grace_connections_look *how)
{
    enum grace_tickets seem = grace_tickets_seem(info);
    uint64_t most_us = how->unknown_is_idle           ? how->unknown_us
                       : seem == GRACE_TICKETS_LIKELY ? how->tickets_us
                                                      : LONG_QUIET_MS * UINT64_C(1000);
    return seem != GRACE_TICKETS_NO && (uint64_t)quiet * 1000 < most_us &&
           !grace_drain_address_is_plain(fd) && grace_answers_may_be_tls();
}

/* Whether what was received last has its answer. */
static bool is_answered(int fd, const struct tcp_info *info, uint32_t quiet,
                        const struct grace_connections_look *how)
{
    if (info->tcpi_bytes_sent == 0 || info->tcpi_last_data_sent > info->tcpi_last_data_recv)
        return false;
    return (looks_answered(info, quiet, how) && !may_be_tickets(fd, info, quiet, how)) ||
           grace_threads_read_from(fd);
}

static enum state judge_by_queues(int fd, const struct grace_connections_look *how)
{
    int unread = 0; /* by the other side */
    struct pollfd event = {.fd = fd, .events = POLLIN | POLLRDHUP};
    struct timespec no_wait = {0, 0};
    grace_kernel(SYS_ioctl, fd, SIOCOUTQ, &unread);
    bool queued = queued_to_read(fd) > 0;
    if (queued || unread > 0)
        return BUSY;
    if (grace_kernel(SYS_ppoll, &event, 1, &no_wait, NULL, sizeof(uint64_t)) == 1 &&
        (event.revents & POLLHUP))
        return GONE;
    if (how->unknown_is_idle || grace_threads_read_from(fd))
        return IDLE;
    uint64_t sent_ms = grace_answers_sent_ms(fd);
    return sent_ms != 0 && (grace_now_ms() - sent_ms) * 1000 >= how->idle_us ? IDLE : BUSY;
}

static enum state judge_tcp(int fd, bool was_deaf, const struct grace_connections_look *how)
{
    enum { CLOSED = 7 };
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (grace_kernel(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
        info.tcpi_state == CLOSED)
        return GONE; /* the other side reset it: nothing can be lost any more */
    if (length < offsetof(struct tcp_info, tcpi_notsent_bytes))
        return judge_by_queues(fd, how); /* an emulator's: all but the state is missing */
    if (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0 || queued_to_read(fd) > 0)
        return BUSY;
    uint32_t quiet = info.tcpi_last_data_recv < info.tcpi_last_data_sent ? info.tcpi_last_data_recv
                                                                         : info.tcpi_last_data_sent;
    if (info.tcpi_bytes_received > 0 && !is_answered(fd, &info, quiet, how))
        return BUSY;
    if (info.tcpi_bytes_received == 0 && was_deaf && quiet < DEAF_QUIET_MS)
        return BUSY;
    return (uint64_t)quiet * 1000 >= how->idle_us ? IDLE : BUSY;
}

static enum kind kind_of(int fd)
{
    if (!grace_drain_is_accepted(fd) || grace_socket_listens(fd))
        return OTHER;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (grace_kernel(SYS_getpeername, fd, &peer, &length) != 0)
        return OTHER; /* not connected */
    return grace_socket_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX ? LOCAL : TCP;
}

/* It is there no longer, as far as anything can be lost. */
static void finish(struct connection *connection, int fd)
{
    if (connection->state == GONE)
        return;
    connection->state = GONE;
    table.finished++;
    grace_log(GRACE_LOG_DEBUG, "drain", "connection %d has finished", fd);
}

static void half_close(struct connection *connection, int fd)
{
    connection->half_closed = true;
    grace_kernel(SYS_shutdown, fd, SHUT_RD);
    grace_log(GRACE_LOG_DEBUG, "drain", "connection %d is idle: half-closed", fd);
}

/* ---- all of them --------------------------------------------------------------------------- */

struct pass {
    const struct grace_connections_look *how;
    struct grace_connections_count count;
};

/* The entry of a descriptor; NULL: it is no socket. */
static struct connection *entry_of(int fd)
{
    uint64_t cookie = fd < DESCRIPTORS ? grace_socket_cookie(fd) : 0;
    if (cookie == 0)
        return NULL;
    struct connection *connection = &table.list[fd];
    if (connection->cookie == cookie)
        return connection;
    finish(connection, fd);
    *connection = (struct connection){.cookie = cookie, .kind = (uint8_t)kind_of(fd)};
    connection->was_deaf = connection->kind == TCP && grace_newcomers_was_deaf(fd);
    table.highest = fd > table.highest ? fd : table.highest;
    return connection;
}

static void look_at(int fd, void *argument)
{
    struct pass *pass = argument;
    struct connection *connection = entry_of(fd);
    if (connection == NULL)
        return;
    connection->seen = table.look;
    if (connection->kind == OTHER)
        return;
    enum state state = connection->kind == TCP ? judge_tcp(fd, connection->was_deaf, pass->how)
                                               : judge_by_queues(fd, pass->how);
    if (state == GONE) {
        finish(connection, fd);
        return;
    }
    connection->state = (uint8_t)state;
    if (table.samples < SAMPLES)
        table.sample[table.samples++] = fd;
    pass->count.busy += state == BUSY;
    pass->count.idle += state == IDLE;
    if (state == IDLE && pass->how->close_idle && !connection->half_closed)
        half_close(connection, fd);
}

struct grace_connections_count grace_connections_look(const struct grace_connections_look *how)
{
    struct pass pass = {.how = how};
    table.look++;
    table.samples = 0;
    grace_threads_forget();
    grace_kernel_each_descriptor(look_at, &pass);
    for (int fd = 0; fd <= table.highest; fd++) {
        if (table.list[fd].seen == table.look)
            continue;
        finish(&table.list[fd], fd);
        table.list[fd].cookie = 0;
    }
    pass.count.finished = table.finished;
    return pass.count;
}

bool grace_connections_seem_gone(void)
{
    for (unsigned i = 0; i < table.samples; i++)
        if (grace_socket_cookie(table.sample[i]) == table.list[table.sample[i]].cookie)
            return false;
    return table.samples > 0;
}
