/*
 * A listener that was closed by the drain looks quiet to every kind of event loop and to every
 * thread that accepts: while a request is still in flight, the server rests as it did before.
 */
#include "harness.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How long the server is watched; a loop that spins would use at least half of it. What an emulator
 * meets for the first time takes it a while. */
static int watched_ms(void)
{
    return emulated() ? 1500 : 300;
}

static const char *const modes[] = {"thread", "accept", "nonblock", "fork", "prefork",
                                    "poll",   "select", "epoll",    "edge", "exclusive"};
#define MODES ((int)(sizeof modes / sizeof modes[0]))

static const char *const listeners[] = {"ipv4", "ipv6", "unix"};
#define LISTENERS ((int)(sizeof listeners / sizeof listeners[0]))

/* ---- connections to any kind of listener ------------------------------------------------------
 */

static char *place; /* "ipv4 40123", as the server says */

static int try_to_connect(void)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    const struct sockaddr *address = (const struct sockaddr *)&local;
    socklen_t length = sizeof local;
    const char *rest = strchr(place, ' ') + 1;
    if (place[0] == 'u') {
        strncpy(local.sun_path, rest, sizeof local.sun_path - 1);
    } else if (place[3] == '4') {
        ipv4.sin_port = htons((uint16_t)atoi(rest));
        address = (const struct sockaddr *)&ipv4;
        length = sizeof ipv4;
    } else {
        ipv6.sin6_port = htons((uint16_t)atoi(rest));
        address = (const struct sockaddr *)&ipv6;
        length = sizeof ipv6;
    }
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, address, length) == 0)
        return fd;
    close(fd);
    return -1;
}

static int ask(const char *path)
{
    int fd = try_to_connect();
    const char *request = text("GET %s HTTP/1.0\r\n\r\n", path);
    expect(fd >= 0);
    expect(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
    return fd;
}

/* The answer's end, which every whole one has: the body counts through the alphabet. */
static void expect_answer(int fd)
{
    const char *answer = answer_of(fd);
    expect(strncmp(answer, "HTTP/1.1 200", 12) == 0, "%s", answer);
    expect(strstr(answer, "\r\n\r\nabc") != NULL, "%s", answer);
}

/* ---- the server ------------------------------------------------------------------------------ */

static struct process *start_server(const char *mode, const char *listener)
{
    not_where_threads_mix(); /* the drain is a thread of libgrace's */
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n"
           "hooks = ( { name = \"first\"; command = [\"/bin/true\"]; } );\n"
           "daemonize = \"never\";",
           here("log"));
    const char *what = strcmp(listener, "unix") == 0 ? text("unix:%s", here("socket")) : listener;
    struct process *server =
        start(GRACED, program("server"), "--mode", mode, "--size", "100", what);
    wait_ready(server);
    place = contents(server->out);
    *strchr(place, '\n') = '\0';
    return server;
}

/* Milliseconds of processor time that a process has used. */
static double used_ms(pid_t pid)
{
    char *command = text("awk '{ sum += $1 } END { print sum }' /proc/%d/task/*/schedstat", pid);
    struct process *sum = start(BARE, "/bin/sh", "-c", command);
    wait_end(sum);
    return atof(contents(sum->out)) / 1e6;
}

START_TEST(nothing_spins)
{
    const char *mode = modes[_i / LISTENERS], *listener = listeners[_i % LISTENERS];
    struct process *server = start_server(mode, listener);
    int slow = ask("/until=go");
    let_pass(100); /* accepted, as a rule; else it waits in the backlog, which is as good */
    double before = used_ms(server->pid);
    send_signal(server, SIGTERM);
    /* In the modes with processes the first may be gone by now: the connection is another's. */
    bool stays = strcmp(mode, "fork") != 0 && strcmp(mode, "prefork") != 0;
    if (stays) {
        wait_contains("log", "is closed to new connections");
        let_pass((unsigned)watched_ms());
        double used = used_ms(server->pid) - before;
        expect(used < watched_ms() / 2.0, "%s, %s: %f ms", mode, listener, used);
        expect(try_to_connect() < 0);
    }
    write_file("go", "%s", "");
    expect_answer(slow);
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

/* ---- a listener that others go on with --------------------------------------------------------
 */

/* This test gave it to the server, and is the one that everybody comes to from then on. */
static struct process *start_with_ours(const char *mode, int listener)
{
    not_where_threads_mix(); /* the drain is a thread of libgrace's */
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };", here("log"));
    struct process *server = launch(
        &(struct launch){.way = GRACED,
                         .argv = ARGV(program("server"), "--mode", mode, "--size", "100", "fds"),
                         .listener = listener});
    wait_ready(server);
    return server;
}

START_TEST(a_shared_one_is_quiet_while_others_accept)
{
    if (_i < 2)
        not_emulated("has no thread seen in accept (/proc/PID/task/TID/syscall)");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 50) == 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    place = text("ipv4 %d", ntohs(address.sin_port));
    struct process *server = start_with_ours(modes[_i], listener);

    int slow = ask("/until=go");
    let_pass(200);
    double before = used_ms(server->pid);
    send_signal(server, SIGTERM);
    wait_contains("log", "is closed to new connections");
    expect(strstr(contents("log"), "(shared) is closed") != NULL, "%s", contents("log"));
    wait_asleep(server); /* threads that are on their way out of accept may take one more */
    for (int i = 0; i < 20; i++) {
        int client = try_to_connect();
        expect(client >= 0);
        let_pass((unsigned)watched_ms() / 20);
        struct pollfd comes = {.fd = listener, .events = POLLIN};
        expect(poll(&comes, 1, 0) == 1); /* nobody else took it */
        int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        expect(accepted >= 0);
        close(accepted);
        close(client);
    }
    double used = used_ms(server->pid) - before;
    expect(used < watched_ms() / 2.0, "%s: %f ms", modes[_i], used);
    write_file("go", "%s", "");
    expect_answer(slow);
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain quiet");
    TCase *group = story_case(all, "quiet");
    tcase_add_loop_test(group, nothing_spins, 0, MODES * LISTENERS);
    for (int i = 0; i < MODES; i++)
        if (strcmp(modes[i], "fork") != 0 && strcmp(modes[i], "prefork") != 0)
            tcase_add_loop_test(group, a_shared_one_is_quiet_while_others_accept, i, i + 1);
    return all;
}
