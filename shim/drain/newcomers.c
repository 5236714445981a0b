/*
 * Two ways to drop what would begin a connection. Its client tries again after a second.
 *
 * A packet filter drops SYN without ACK and nothing else. Linux 6.18 and newer stable kernels let
 * only CAP_NET_ADMIN have one on TCP (EPERM otherwise).
 *
 * So, for everybody else: the least TTL, or hop limit, that a packet must still have. More than any
 * client's packet has keeps out a SYN, and not the end of a handshake, which the kernel finds by
 * the request and not by the listener (net/ipv4/tcp_ipv4.c, tcp_v4_rcv). What comes of such a
 * handshake, however, has inherited the rule: it does not hear its client until we take the rule
 * off, and the client sends again 0.2 s later or more.
 */
#include "newcomers.h"

#include <linux/filter.h>
#include <netinet/in.h>

#include "shim/drain.h"
#include "socket.h"

/* Not 255, which programs set that speak to neighbours only (RFC 5082); packets begin with 255, 128
 * or 64. And what a connection has after it was found deaf: each packet has that. */
#define TOO_FAR  254
#define WAS_DEAF 1

static bool is_allowed_from(int fd, int hops)
{
    bool set = grace_kernel(SYS_setsockopt, fd, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops) == 0;
    if (grace_socket_option(fd, SOL_SOCKET, SO_DOMAIN) != AF_INET6)
        return set;
    /* IPv4's rule is for who connects by IPv4 to an IPv6 listener. */
    return grace_kernel(SYS_setsockopt, fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &hops, sizeof hops) ==
           0;
}

static int allowed_from(int fd)
{
    return grace_socket_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6
               ? grace_socket_option(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT)
               : grace_socket_option(fd, IPPROTO_IP, IP_MINTTL);
}

/* The filter that drops them, or only its last line, which lets all in. */
static bool attach_filter(int fd, bool lets_in)
{
    struct sock_filter code[] = {
        /* it sees the TCP header */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0x7fffffff),
    };
    enum { LINES = sizeof code / sizeof *code };
    struct sock_fprog program = {.len = LINES, .filter = code};
    if (lets_in)
        program = (struct sock_fprog){.len = 1, .filter = &code[LINES - 1]};
    return grace_kernel(SYS_setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                        sizeof program) == 0;
}

enum grace_newcomers grace_newcomers_keep_out(int fd)
{
    if (attach_filter(fd, false))
        return GRACE_NEWCOMERS_FILTERED;
    int before = allowed_from(fd);
    bool ours = before == 0 || before == TOO_FAR; /* set by another of the family */
    return ours && is_allowed_from(fd, TOO_FAR) ? GRACE_NEWCOMERS_TOO_FAR : GRACE_NEWCOMERS_COME;
}

void grace_newcomers_let_in(int fd, enum grace_newcomers how)
{
    int unused = 0;
    if (how == GRACE_NEWCOMERS_FILTERED &&
        grace_kernel(SYS_setsockopt, fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0)
        attach_filter(fd, true); /* qemu-user knows no other way */
    if (how == GRACE_NEWCOMERS_TOO_FAR)
        is_allowed_from(fd, 0);
}

bool grace_newcomers_was_deaf(int fd)
{
    int from = allowed_from(fd);
    if (from == TOO_FAR)
        is_allowed_from(fd, WAS_DEAF);
    return from == TOO_FAR || from == WAS_DEAF;
}

void grace_accept_returned(int fd)
{
    grace_newcomers_was_deaf(fd);
}
