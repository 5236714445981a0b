/*
 * How connections of every kind end when their server is stopped: what finishes is waited for, what
 * is idle is let go, what cannot finish is cut when the time is up, and the stop is over by then.
 */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char *const modes[] = {"thread", "epoll"};
#define MODES ((int)(sizeof modes / sizeof modes[0]))

/* ---- a server and its clients ------------------------------------------------------------------
 */

static struct process *server;
static int port;

static const char *delay = "30";

static void start_server(enum way way, const char *mode, const char *settings)
{
    if (way == GRACED)
        config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n%s", here("log"),
               settings);
    server = start(way, program("server"), "--delay", delay, "--mode", mode, "ipv4");
    wait_ready(server);
    port = atoi(contents(server->out) + strlen("ipv4 "));
}

static void say(int connection, const char *words)
{
    expect(send(connection, words, strlen(words), MSG_NOSIGNAL) == (ssize_t)strlen(words), "%s",
           strerror(errno));
}

static int connect_and_say(const char *words)
{
    int connection = dial(port);
    expect(connection >= 0);
    say(connection, words);
    return connection;
}

static int ask(const char *path)
{
    return connect_and_say(text("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path));
}

/* Until the server has accepted all that connected before. */
static void wait_accepted(void)
{
    int client = connect_and_say("GET /size=5 HTTP/1.0\r\n\r\n");
    char answer[1024];
    while (recv(client, answer, sizeof answer, 0) > 0)
        continue;
    close(client);
}

/* The beginning of an answer has come: the server is at work. */
static void wait_bytes(int connection)
{
    struct pollfd event = {.fd = connection, .events = POLLIN};
    expect(poll(&event, 1, STORY_LIMIT_MS) == 1 && (event.revents & POLLIN));
}

/* Read until the end, or until `most` bytes came; how many of a body's bytes there were. */
static size_t read_body(int connection, size_t most)
{
    char bytes[16384];
    size_t got = 0, head = 0;
    for (ssize_t n; got < most && (n = recv(connection, bytes, sizeof bytes, 0)) > 0;) {
        const char *end = memmem(bytes, (size_t)n, "\r\n\r\n", 4);
        head += end != NULL ? (size_t)(end - bytes) + 4 : 0;
        got += (size_t)n;
    }
    return got - head;
}

static bool ends_after(int connection)
{
    char byte;
    return recv(connection, &byte, 1, 0) <= 0;
}

/* ---- what the stop was -------------------------------------------------------------------------
 */

static void expect_cut(const char *count)
{
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(strstr(contents("log"), text(" %s cut", count)) != NULL, "%s", contents("log"));
}

static void stop_and_wait_drain(void)
{
    send_signal(server, SIGTERM);
    wait_contains("log", "is closed to new connections");
}

/* ---- long answers ------------------------------------------------------------------------------
 */

#define LONG      "/size=100000/pieces=20/gap=100" /* two seconds */
#define LONG_SIZE 100000u

START_TEST(bare_a_long_answer_is_cut)
{
    start_server(BARE, modes[_i], "");
    int client = ask(LONG);
    wait_bytes(client);
    expect_status(stop_with(server, SIGTERM), KILLED(SIGTERM));
    expect(read_body(client, SIZE_MAX) < LONG_SIZE);
}
END_TEST

START_TEST(a_long_answer_is_finished)
{
    start_server(GRACED, modes[_i], "");
    int client = ask(LONG);
    wait_bytes(client);
    stop_and_wait_drain();
    expect(read_body(client, SIZE_MAX) == LONG_SIZE);
    expect_cut("0");
}
END_TEST

/* The pauses between its pieces are longer than an idle connection is left alone. */
START_TEST(pauses_in_an_answer_are_not_its_end)
{
    start_server(GRACED, modes[_i], "drain = { idle = \"20ms\"; timeout = \"30s\"; };");
    int client = ask("/size=8/pieces=4/gap=400");
    wait_bytes(client);
    stop_and_wait_drain();
    expect(read_body(client, SIZE_MAX) == 8);
    expect_cut("0");
}
END_TEST

/* ---- slow clients ------------------------------------------------------------------------------
 */

/* More than the socket buffers of both sides hold. */
#define LARGE      "/size=30000000"
#define LARGE_SIZE 30000000u

START_TEST(a_client_that_reads_slowly_gets_all)
{
    start_server(GRACED, modes[_i], "");
    int client = ask(LARGE);
    wait_bytes(client);
    stop_and_wait_drain();
    size_t got = 0;
    for (int i = 0; i < 10; i++) {
        let_pass(100);
        got += read_body(client, 100000);
    }
    expect(got < LARGE_SIZE);
    got += read_body(client, SIZE_MAX);
    expect(got == LARGE_SIZE, "%zu", got);
    expect_cut("0");
}
END_TEST

START_TEST(a_client_that_never_reads_is_cut)
{
    start_server(GRACED, modes[_i], "drain = { timeout = \"1s\"; };");
    int client = ask(LARGE);
    wait_bytes(client);
    send_signal(server, SIGTERM);
    expect_cut("1");
    expect(read_body(client, SIZE_MAX) < LARGE_SIZE);
}
END_TEST

START_TEST(a_request_that_is_completed_is_answered)
{
    start_server(GRACED, modes[_i], "");
    int client = connect_and_say("GET /size=7 HT");
    wait_accepted();
    stop_and_wait_drain();
    let_pass(300);
    say(client, "TP/1.1\r\nHost: x\r\n\r\n");
    expect(read_body(client, SIZE_MAX) == 7);
    expect_cut("0");
}
END_TEST

START_TEST(half_a_request_is_cut)
{
    start_server(GRACED, modes[_i], "drain = { timeout = \"1s\"; };");
    int client = connect_and_say("GET /size=7 HT");
    wait_accepted();
    send_signal(server, SIGTERM);
    expect_cut("1");
    expect(read_body(client, SIZE_MAX) == 0);
}
END_TEST

/* ---- idle connections --------------------------------------------------------------------------
 */

static int upgrade(void)
{
    int client = connect_and_say("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    char head[1024] = "";
    size_t got = 0;
    for (ssize_t n; strstr(head, "\r\n\r\n") == NULL &&
                    (n = recv(client, head + got, sizeof head - 1 - got, 0)) > 0;)
        got += (size_t)n;
    expect(strncmp(head, "HTTP/1.1 101 ", 13) == 0, "%s", head);
    return client;
}

/* It sees its server leave, long before any time is up. */
START_TEST(an_idle_upgraded_connection_is_let_go)
{
    start_server(GRACED, modes[_i], "deadline = \"1h\"; drain = { timeout = \"50m\"; };");
    int quiet = upgrade(), talked = upgrade();
    char echo[5] = "";
    say(talked, "ping");
    expect(recv(talked, echo, 4, MSG_WAITALL) == 4);
    expect_text(echo, "ping");
    send_signal(server, SIGTERM);
    expect(ends_after(quiet));
    expect(ends_after(talked));
    expect_cut("0");
}
END_TEST

START_TEST(idle_connections_do_not_hold_it)
{
    start_server(GRACED, modes[_i], "deadline = \"1h\"; drain = { timeout = \"50m\"; };");
    int silent = dial(port), kept = ask("/size=9");
    char answer[4096];
    expect(recv(kept, answer, sizeof answer, 0) > 0);
    send_signal(server, SIGTERM);
    expect(ends_after(silent));
    expect(ends_after(kept));
    expect_cut("0");
}
END_TEST

/* One after the other, without a pause, across the half of the time: the kernel's clock does not
 * tell the request from the answer before it. Nothing asks the client to leave. */
START_TEST(requests_right_behind_answers_are_answered)
{
    delay = "300";
    start_server(GRACED, "epoll", "drain = { http = false; timeout = \"4s\"; };");
    int client = ask("/size=5");
    send_signal(server, SIGTERM);
    for (int i = 1; i <= 9; i++) {
        wait_bytes(client);
        expect(read_body(client, 5) == 5, "answer %d", i);
        if (i < 9)
            say(client, "GET /size=5 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    close(client);
    expect_cut("0");
}
END_TEST

/* ---- the deadline ------------------------------------------------------------------------------
 */

/* Whatever drain.timeout says: an hour would be more than the story has. */
/* Answered within one tick of the kernel's clock: its times do not say what came last. */
START_TEST(a_fast_answer_is_told_from_a_request)
{
    int requests = _i / MODES == 0 ? 1 : 3;
    delay = "0";
    start_server(GRACED, modes[_i % MODES], "deadline = \"2h\"; drain = { timeout = \"1h\"; };");
    int client = connect_and_say("GET /size=5 HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 1; i <= requests; i++) {
        wait_bytes(client);
        expect(read_body(client, 5) == 5);
        if (i < requests)
            say(client, "GET /size=5 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    send_signal(server, SIGTERM);
    expect(read_body(client, SIZE_MAX) == 0);
    expect_cut("0");
}
END_TEST

START_TEST(the_deadline_holds)
{
    start_server(GRACED, modes[_i], "deadline = \"2s\"; drain = { timeout = \"1h\"; };");
    int client = ask("/delay=3600000");
    wait_accepted();
    send_signal(server, SIGTERM);
    expect_cut("1");
    expect(ends_after(client));
}
END_TEST

START_TEST(a_second_signal_cuts_it_short)
{
    start_server(GRACED, modes[_i], "deadline = \"1h\"; drain = { timeout = \"50m\"; };");
    int client = ask("/delay=3600000");
    wait_accepted();
    stop_and_wait_drain();
    let_pass(600); /* one that comes sooner is the same one */
    send_signal(server, SIGTERM);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(ends_after(client));
}
END_TEST

START_TEST(never_is_never)
{
    start_server(GRACED, modes[_i], "drain = { when = \"never\"; };");
    int client = ask(LONG);
    wait_bytes(client);
    expect_status(stop_with(server, SIGTERM), KILLED(SIGTERM));
    expect(read_body(client, SIZE_MAX) < LONG_SIZE);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain: ends");
    TCase *group = story_case(all, "ends");
    tcase_add_loop_test(group, bare_a_long_answer_is_cut, 0, MODES);
    tcase_add_loop_test(group, a_long_answer_is_finished, 0, MODES);
    tcase_add_loop_test(group, pauses_in_an_answer_are_not_its_end, 0, MODES);
    tcase_add_loop_test(group, a_client_that_reads_slowly_gets_all, 0, MODES);
    tcase_add_loop_test(group, a_client_that_never_reads_is_cut, 0, MODES);
    tcase_add_loop_test(group, a_request_that_is_completed_is_answered, 0, MODES);
    tcase_add_loop_test(group, half_a_request_is_cut, 0, MODES);
    tcase_add_loop_test(group, an_idle_upgraded_connection_is_let_go, 0, MODES);
    tcase_add_loop_test(group, idle_connections_do_not_hold_it, 0, MODES);
    tcase_add_loop_test(group, a_fast_answer_is_told_from_a_request, 0, 2 * MODES);
    tcase_add_test(group, requests_right_behind_answers_are_answered);
    tcase_add_loop_test(group, the_deadline_holds, 0, MODES);
    tcase_add_loop_test(group, a_second_signal_cuts_it_short, 0, MODES);
    tcase_add_loop_test(group, never_is_never, 0, MODES);
    return all;
}
