/*
 * Asking the kernel for sockets by netlink. Needs no privilege. Each question has a socket of its
 * own for the moment: no descriptor stays.
 */
#include "diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/raw.h"

/* Bits of TCP states. A handshake under way is in the second since Linux 4.4. */
#define SYN_RECV     (1u << 3)
#define NEW_SYN_RECV (1u << 12)
#define LISTENING    (1u << 10)
#define CONNECTED    (1u << 1 | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 11)

struct question {
    struct nlmsghdr header;
    union {
        struct inet_diag_req_v2 inet;
        struct unix_diag_req local;
    } of;
};

/* The kernel's answers to a question, message by message, until it has no more or visit says so. */
static int ask(struct question *question, size_t size, bool all,
               bool (*visit)(const struct nlmsghdr *message, void *argument), void *argument)
{
    _Alignas(struct nlmsghdr) char buffer[8192] = "";
    long fd = grace_kernel(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return (int)fd;
    question->header.nlmsg_len = (uint32_t)size;
    question->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (all ? NLM_F_DUMP : 0));
    long result = grace_kernel(SYS_sendto, fd, question, size, 0, NULL, 0);
    bool over = false;
    while (result >= 0 && !over) {
        result = grace_kernel(SYS_recvfrom, fd, buffer, sizeof buffer, 0, NULL, NULL);
        size_t left = result < 0 ? 0 : (size_t)result;
        const struct nlmsghdr *message = (const void *)buffer;
        for (; !over && NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_DONE)
                over = true;
            else if (message->nlmsg_type == NLMSG_ERROR) {
                result = ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
                over = true;
            } else
                over = !visit(message, argument) || !all;
        }
    }
    grace_kernel(SYS_close, fd);
    return result < 0 ? (int)result : 0;
}

static int ask_tcp(int family, unsigned port, uint32_t states,
                   bool (*visit)(const struct nlmsghdr *, void *), void *argument)
{
    struct question question;
    memset(&question, 0, sizeof question);
    question.of.inet.sdiag_family = (uint8_t)family;
    question.of.inet.sdiag_protocol = IPPROTO_TCP;
    question.of.inet.idiag_states = states;
    question.of.inet.id.idiag_sport = htons((uint16_t)port);
    return ask(&question, sizeof question.header + sizeof question.of.inet, true, visit, argument);
}

/* ---- handshakes ---------------------------------------------------------------------------- */

static bool count_one(const struct nlmsghdr *message, void *count)
{
    (void)message;
    ++*(int *)count;
    return true;
}

int grace_diag_handshakes(int family, unsigned port)
{
    int count = 0;
    int result = ask_tcp(family, port, SYN_RECV | NEW_SYN_RECV, count_one, &count);
    return result < 0 ? result : count;
}

/* ---- a Unix listener's backlog ------------------------------------------------------------- */

static bool read_backlog(const struct nlmsghdr *message, void *backlog)
{
    const struct unix_diag_msg *about = NLMSG_DATA(message);
    size_t left = message->nlmsg_len - NLMSG_LENGTH(sizeof *about);
    const struct rtattr *attribute = (const void *)(about + 1);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type != UNIX_DIAG_RQLEN)
            continue;
        const struct unix_diag_rqlen *lengths = RTA_DATA(attribute);
        *(int *)backlog = (int)lengths->udiag_rqueue;
    }
    return false;
}

int grace_diag_unix_backlog(uint64_t inode)
{
    struct question question;
    int backlog = -ENOENT;
    memset(&question, 0, sizeof question);
    question.of.local.sdiag_family = AF_UNIX;
    question.of.local.udiag_states = ~0u;
    question.of.local.udiag_ino = (uint32_t)inode;
    question.of.local.udiag_show = UDIAG_SHOW_RQLEN;
    question.of.local.udiag_cookie[0] = question.of.local.udiag_cookie[1] = ~0u;
    int result = ask(&question, sizeof question.header + sizeof question.of.local, false,
                     read_backlog, &backlog);
    return result < 0 ? result : backlog;
}

/* ---- listeners ----------------------------------------------------------------------------- */

struct ports {
    void (*visit)(unsigned port, void *argument);
    void *argument;
};

static bool read_port(const struct nlmsghdr *message, void *argument)
{
    const struct ports *ports = argument;
    const struct inet_diag_msg *about = NLMSG_DATA(message);
    ports->visit(ntohs(about->id.idiag_sport), ports->argument);
    return true;
}

int grace_diag_listening_ports(void (*visit)(unsigned port, void *argument), void *argument)
{
    struct ports ports = {visit, argument};
    int result = ask_tcp(AF_INET, 0, LISTENING, read_port, &ports);
    int second = ask_tcp(AF_INET6, 0, LISTENING, read_port, &ports);
    return result < 0 ? result : second;
}

/* ---- connections --------------------------------------------------------------------------- */

struct connections {
    void (*visit)(unsigned port, uint64_t inode, void *argument);
    void *argument;
};

static bool read_connection(const struct nlmsghdr *message, void *argument)
{
    const struct connections *connections = argument;
    const struct inet_diag_msg *about = NLMSG_DATA(message);
    connections->visit(ntohs(about->id.idiag_sport), about->idiag_inode, connections->argument);
    return true;
}

int grace_diag_connections(void (*visit)(unsigned port, uint64_t inode, void *argument),
                           void *argument)
{
    struct connections connections = {visit, argument};
    int result = ask_tcp(AF_INET, 0, CONNECTED, read_connection, &connections);
    int second = ask_tcp(AF_INET6, 0, CONNECTED, read_connection, &connections);
    return result < 0 ? result : second;
}
