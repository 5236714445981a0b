/*
 * A server that drains is not alone: the next instance takes over, on a port of its own through
 * SO_REUSEPORT or on a listener that outlives both; and the target's connections to others are not
 * the drain's business.
 */
#include "harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- load beside the story ---------------------------------------------------------------------
 */

static struct process *start_load(int port)
{
    struct process *load =
        start(BARE, program("load"), "--fresh", "5", "--pausing", "5", "--steady", "2", "--path",
              "/size=50/delay=10", text("ipv4:%d", port));
    wait_ready(load);
    return load;
}

static int counted(const char *report, const char *name)
{
    const char *at = strstr(report, text("\"%s\":", name));
    return at != NULL ? atoi(at + strlen(name) + 3) : -1;
}

static void expect_no_client_noticed(struct process *load)
{
    expect_status(stop_with(load, SIGTERM), EXITED(0));
    const char *report = contents(load->out);
    expect(counted(report, "lost") == 0, "%s", report);
    expect(counted(report, "refused") == 0, "%s", report);
    expect(counted(report, "wrong") == 0, "%s", report);
    expect(counted(report, "whole") > 0, "%s", report);
}

static void log_to_file(const char *more)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n%s", here("log"), more);
}

/* ---- requests of the story's own ---------------------------------------------------------------
 */

static bool is_whole(const char *answer, int size)
{
    const char *body = strstr(answer, "\r\n\r\n");
    return body != NULL && strlen(body + 4) == (size_t)size &&
           strstr(answer, text("Content-Length: %d\r\n", size)) != NULL;
}

/* ---- SO_REUSEPORT ------------------------------------------------------------------------------
 */

static struct process *start_instance(enum way way, int port, int size)
{
    struct process *server = start(way, program("server"), "--mode", "epoll", "--reuseport",
                                   "--size", text("%d", size), text("ipv4:%d", port));
    wait_ready(server);
    return server;
}

START_TEST(bare_the_first_of_two_takes_requests_along)
{
    int port = free_port();
    struct process *first = start_instance(BARE, port, 1);
    int under_way = ask_at(port, "/until=never/size=7");
    expect(is_whole(answer_of(ask_at(port, "/")), 1));
    start_instance(BARE, port, 2);
    expect_status(stop_with(first, SIGTERM), KILLED(SIGTERM));
    expect_text(answer_of(under_way), "");
}
END_TEST

/* From the moment its listener is closed, every new connection is the second one's, though the
 * first still works on a long answer. */
START_TEST(the_second_instance_gets_every_new_connection)
{
    int port = free_port();
    log_to_file("");
    struct process *first = start_instance(GRACED, port, 1);
    int under_way = ask_at(port, "/until=go/size=7");
    expect(is_whole(answer_of(ask_at(port, "/")), 1)); /* accepted after the one under way */
    start_instance(BARE, port, 2);
    struct process *load = start_load(port);
    send_signal(first, SIGTERM);
    wait_contains("log", "is closed to new connections");
    for (int i = 0; i < 50; i++)
        expect(is_whole(answer_of(ask_at(port, "/")), 2));
    write_file("go", "%s", "");
    expect(is_whole(answer_of(under_way), 7));
    expect_status(wait_end(first), KILLED(SIGTERM));
    expect(is_whole(answer_of(ask_at(port, "/")), 2));
    expect_no_client_noticed(load);
}
END_TEST

/* ---- a listener that outlives the server -------------------------------------------------------
 */

static int listen_here(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1024) == 0);
    expect(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static struct process *start_activated(enum way way, const char *mode, int listener)
{
    struct process *server = launch(
        &(struct launch){.way = way,
                         .argv = ARGV(program("server"), "--workers", "20", "--mode", mode, "fds"),
                         .listener = listener});
    wait_ready(server);
    return server;
}

static const char *const modes[] = {"thread", "accept", "epoll", "exclusive", "poll", "prefork"};
#define MODES ((int)(sizeof modes / sizeof modes[0]))

START_TEST(a_shared_listener_works_on_in_the_next_instance)
{
    int port, listener = listen_here(&port);
    log_to_file("");
    struct process *first = start_activated(GRACED, modes[_i], listener);
    struct process *load = start_load(port);
    expect(kill(-first->pid, SIGTERM) == 0); /* workers, too, as systemd does */
    expect_status(wait_end(first), KILLED(SIGTERM));
    int waits = ask_at(port, "/size=3"); /* nobody accepts it yet */
    struct process *next = start_activated(BARE, modes[_i], listener);
    expect(is_whole(answer_of(waits), 3));
    expect(is_whole(answer_of(ask_at(port, "/size=4")), 4));
    expect_no_client_noticed(load);
    expect(kill(-next->pid, SIGKILL) == 0);
}
END_TEST

/* ---- connections to others ---------------------------------------------------------------------
 */

static int listen_local(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, here("%s", name), sizeof address.sun_path - 1);
    expect(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(listener, 16) == 0);
    return listener;
}

/* What the target asks its database. */
static const char *question_at(int database)
{
    static char words[64];
    ssize_t got = recv(database, words, sizeof words - 1, 0);
    words[got > 0 ? got : 0] = '\0';
    return words;
}

static void expect_untouched(int database)
{
    struct pollfd event = {.fd = database, .events = POLLIN | POLLRDHUP};
    expect(poll(&event, 1, 0) == 0, "events %#x", (unsigned)event.revents);
}

/* It waits for its database, on connections that look idle: what it sent last, it sent after what
 * it received last. Ten times as long as a connection of a client would be left alone. */
START_TEST(connections_to_others_are_not_touched)
{
    int port, listener = listen_here(&port), local = listen_local("database");
    log_to_file("drain = { idle = \"20ms\"; };\n");
    struct process *relay = start(GRACED, program("relay"), text("%d", port), here("database"));
    int databases[] = {accept(listener, NULL, NULL), accept(local, NULL, NULL)};
    wait_ready(relay);
    int client = dial(atoi(contents(relay->out)));
    expect(send(client, "hello", 5, MSG_NOSIGNAL) == 5);
    expect_text(question_at(databases[0]), "hello");
    send_signal(relay, SIGTERM);
    wait_contains("log", "is closed to new connections");
    for (int i = 0; i < 2; i++) {
        let_pass(200);
        expect_untouched(databases[0]);
        expect_untouched(databases[1]);
        expect(send(databases[i], "answer ", 7, MSG_NOSIGNAL) == 7);
        if (i == 0)
            expect_text(question_at(databases[1]), "hello");
    }
    expect_text(answer_of(client), "answer answer ");
    expect_status(wait_end(relay), KILLED(SIGTERM));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain: company");
    TCase *group = story_case(all, "company");
    tcase_add_test(group, bare_the_first_of_two_takes_requests_along);
    tcase_add_test(group, the_second_instance_gets_every_new_connection);
    tcase_add_loop_test(group, a_shared_listener_works_on_in_the_next_instance, 0, MODES);
    tcase_add_test(group, connections_to_others_are_not_touched);
    return all;
}
