/*
 * What looks like session tickets, by the kernel's counts of connections to real servers, on the
 * loopback network and (smaller segments, a chain of three certificates) on one like an Ethernet.
 */
#include <linux/tcp.h>
#include <stdint.h>

#include "../suite.h"
#include "shim/drain/tickets.h"

#define LOOPBACK 32768
#define ETHERNET 1448

#define NO     GRACE_TICKETS_NO
#define MAYBE  GRACE_TICKETS_MAYBE
#define LIKELY GRACE_TICKETS_LIKELY

static const struct connection {
    const char *what;
    uint32_t mss, in, out, received, sent;
    enum grace_tickets seem;
} connections[] = {
    /* The request is still worked on. */
    {"asyncio, Python", LOOPBACK, 3, 2, 646, 1267, LIKELY},
    {"asyncio, curl", LOOPBACK, 3, 2, 698, 1266, LIKELY},
    {"asyncio, another", LOOPBACK, 3, 2, 453, 1265, LIKELY},
    {"asyncio, Node", LOOPBACK, 2, 2, 516, 1267, MAYBE},
    {"Node, Python", LOOPBACK, 3, 2, 646, 1330, LIKELY},
    {"Node, Node", LOOPBACK, 2, 2, 516, 1329, MAYBE},
    {"http.server, Python", LOOPBACK, 3, 3, 646, 1265, MAYBE},
    {"http.server, Node", LOOPBACK, 2, 3, 516, 1266, MAYBE},
    {"Node, Python, Ethernet", ETHERNET, 3, 4, 646, 3735, LIKELY},
    {"Node, Node, Ethernet", ETHERNET, 2, 4, 516, 3735, MAYBE},
    {"http.server, Python, Ethernet", ETHERNET, 3, 5, 646, 3671, MAYBE},
    {"a large hello, Ethernet", ETHERNET, 4, 4, 1850, 3735, LIKELY},
    {"an upload in pieces", LOOPBACK, 9, 2, 100700, 1267, LIKELY},

    /* It is answered, and more behind it. */
    {"asyncio, 1", LOOPBACK, 3, 3, 646, 2028, MAYBE},
    {"asyncio, 2", LOOPBACK, 4, 4, 695, 2790, NO},
    {"asyncio, 3", LOOPBACK, 5, 5, 744, 3552, NO},
    {"asyncio, resumed, 1", LOOPBACK, 3, 3, 697, 1258, MAYBE},
    {"http.server, 1", LOOPBACK, 3, 4, 646, 2124, NO},
    {"Node, 2", LOOPBACK, 4, 4, 695, 3023, NO},
    {"Node, 2, Ethernet", ETHERNET, 4, 6, 695, 5427, MAYBE},
    {"Node, 3, Ethernet", ETHERNET, 5, 7, 744, 6273, NO},
    {"http.server, 2, Ethernet", ETHERNET, 4, 8, 695, 5385, NO},
    {"a large answer", LOOPBACK, 3, 3, 646, 12000, NO},

    /* Plain HTTP. */
    {"plain, 1", LOOPBACK, 1, 1, 380, 750, NO},
    {"plain, 2", LOOPBACK, 2, 2, 760, 1500, MAYBE},
    {"plain, 2 small ones", LOOPBACK, 2, 2, 160, 1500, NO},
    {"plain, 3", LOOPBACK, 3, 3, 1140, 2250, MAYBE},
    {"plain, 4", LOOPBACK, 4, 4, 1520, 3000, NO},
    {"plain, 2 in two parts", LOOPBACK, 2, 4, 760, 1500, NO},
    {"plain, 2 uploads", LOOPBACK, 4, 2, 760, 1500, LIKELY}, /* there is no telling */
    {"plain, 3, Ethernet", ETHERNET, 3, 3, 1140, 1200, MAYBE},
};
#define CONNECTIONS ((int)(sizeof connections / sizeof connections[0]))

static struct tcp_info info_of(const struct connection *connection)
{
    return (struct tcp_info){
        .tcpi_snd_mss = connection->mss,
        .tcpi_data_segs_in = connection->in,
        .tcpi_data_segs_out = connection->out,
        .tcpi_bytes_received = connection->received,
        .tcpi_bytes_sent = connection->sent,
        .tcpi_last_data_recv = 300,
        .tcpi_last_data_sent = 296,
    };
}

START_TEST(counts_tell_them_apart)
{
    const struct connection *connection = &connections[_i];
    struct tcp_info info = info_of(connection);
    enum grace_tickets seem = grace_tickets_seem(&info);
    ck_assert_msg(seem == connection->seem, "%s: %d", connection->what, seem);
}
END_TEST

START_TEST(what_was_sent_much_later_is_an_answer)
{
    struct tcp_info info = info_of(&connections[0]);
    info.tcpi_last_data_recv = info.tcpi_last_data_sent + 999;
    ck_assert_int_eq(grace_tickets_seem(&info), LIKELY);
    info.tcpi_last_data_recv = info.tcpi_last_data_sent + 1000;
    ck_assert_int_eq(grace_tickets_seem(&info), NO);
}
END_TEST

START_TEST(nothing_of_a_socket_that_says_nothing)
{
    struct tcp_info info = {0};
    ck_assert_int_eq(grace_tickets_seem(&info), NO);
    info = info_of(&connections[0]);
    info.tcpi_snd_mss = 0;
    ck_assert_int_eq(grace_tickets_seem(&info), NO);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("tickets");
    TCase *tests = tcase_create("tickets");
    tcase_add_loop_test(tests, counts_tell_them_apart, 0, CONNECTIONS);
    tcase_add_test(tests, what_was_sent_much_later_is_an_answer);
    tcase_add_test(tests, nothing_of_a_socket_that_says_nothing);
    suite_add_tcase(all, tests);
    return all;
}
