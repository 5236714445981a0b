/*
 * HTTP/1.x answers that are given while a server drains: byte for byte those of the bare server,
 * but that each says that it is the connection's last.
 *
 * Each conversation has its connection, and half of its first request sent, when the stop begins;
 * the rest comes when the server drains. What a line says of keeping the connection, and the date,
 * are taken out on both sides before they are compared.
 */
#include "harness.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSE        "Connection: close\r\n"
#define GET(path)    "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define HEAD(path)   "HEAD " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define GREATEST     (2 << 20)
#define PIECE        3001
#define MOST_SCRIPTS 24

/* Requests, sent one after the other, each when the head of the answer before it is there; and how
 * many answers say close at the end. */
struct script {
    const char *requests[3];
    unsigned closes;
};

static const struct script scripts[] = {
    {{GET("/length")}, 1},
    {{GET("/once")}, 1},
    {{GET("/head"), GET("/once")}, 2}, /* the server answers as to HEAD */
    {{GET("/chunks")}, 1},
    {{GET("/nothing")}, 1},
    {{GET("/not-modified")}, 1},
    {{GET("/bytes")}, 1},
    {{GET("/close")}, 1},
    {{GET("/information")}, 1},
    {{GET("/vectors")}, 2},
    {{GET("/messages")}, 1},
    {{GET("/looks")}, 1},
    {{GET("/sendfile")}, 1},
    {{GET("/splice")}, 1},
    {{GET("/full")}, 1},
    {{GET("/upgrade")}, 0},
    {{GET("/to-the-end")}, 1},
    {{GET("/once"), GET("/chunks"), GET("/bytes")}, 3},
    {{GET("/length") GET("/once") GET("/chunks") GET("/nothing") GET("/sendfile") GET("/looks")},
     6},
};
#define SCRIPTS ((int)(sizeof scripts / sizeof *scripts))

/* ---- conversations ------------------------------------------------------------------------- */

struct answers {
    char *text;
    size_t length;
};

static void send_all(int connection, const char *bytes, size_t length)
{
    expect(send(connection, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

static size_t read_some(int connection, struct answers *to)
{
    size_t room = GREATEST - to->length;
    ssize_t n = recv(connection, to->text + to->length, room < PIECE ? room : PIECE, 0);
    expect(n >= 0, "an answer was cut");
    to->length += (size_t)n;
    return (size_t)n;
}

/* Where the first request's last byte is. */
static size_t end_of_first(const struct script *script)
{
    return (size_t)(strstr(script->requests[0], "\r\n\r\n") - script->requests[0]) + 3;
}

static int begin(int port, const struct script *script)
{
    int connection = dial(port);
    expect(connection >= 0);
    send_all(connection, script->requests[0], end_of_first(script));
    return connection;
}

static struct answers finish(int connection, const struct script *script)
{
    static char buffers[MOST_SCRIPTS * 2 + 2][GREATEST];
    static size_t used;
    struct answers got = {.text = buffers[used++]};
    const char *rest = script->requests[0] + end_of_first(script);
    send_all(connection, rest, strlen(rest));
    for (int i = 1; i < 3 && script->requests[i] != NULL; i++) {
        size_t before = got.length;
        while (memmem(got.text + before, got.length - before, "\r\n\r\n", 4) == NULL)
            expect(read_some(connection, &got) > 0, "no answer to request %d", i - 1);
        send_all(connection, script->requests[i], strlen(script->requests[i]));
    }
    shutdown(connection, SHUT_WR);
    while (read_some(connection, &got) > 0)
        continue;
    close(connection);
    return got;
}

/* ---- comparing ----------------------------------------------------------------------------- */

static bool begins_with(const char *line, const char *end, const char *with)
{
    return (size_t)(end - line) >= strlen(with) && strncasecmp(line, with, strlen(with)) == 0;
}

/* Without the lines that may differ; returns how many of them said close. */
static unsigned strip(struct answers *answers)
{
    static const char *const lines[] = {CLOSE, "Connection: keep-alive\r\n",
                                        "Keep-Alive:", "Date:"};
    unsigned closes = 0;
    char *to = answers->text, *end = answers->text + answers->length;
    for (char *line = answers->text, *next; line < end; line = next) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline == NULL ? end : newline + 1;
        bool goes = false;
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
            goes = goes || begins_with(line, end, lines[i]);
        closes += begins_with(line, end, CLOSE);
        if (!goes) {
            memmove(to, line, (size_t)(next - line));
            to += next - line;
        }
    }
    answers->length = (size_t)(to - answers->text);
    return closes;
}

static void compare(const struct script *script, struct answers bare, struct answers drained)
{
    strip(&bare);
    unsigned closes = strip(&drained);
    expect(closes == script->closes, "%s: %u answers say close", script->requests[0], closes);
    expect(bare.length == drained.length && memcmp(bare.text, drained.text, bare.length) == 0,
           "%s\n%.*s\nnot:\n%.*s", script->requests[0],
           (int)(drained.length < 1000 ? drained.length : 1000), drained.text,
           (int)(bare.length < 1000 ? bare.length : 1000), bare.text);
}

/* ---- the story ----------------------------------------------------------------------------- */

static struct process *serve(enum way way, const char *const *argv, int port)
{
    struct process *server = launch(&(struct launch){.way = way, .argv = argv});
    wait_port(server, port);
    return server;
}

static void play(const char *const *argv, int port, const struct script *script, int count)
{
    struct answers bare[MOST_SCRIPTS];
    int connections[MOST_SCRIPTS];
    struct process *server = serve(BARE, argv, port);
    for (int i = 0; i < count; i++)
        bare[i] = finish(begin(port, &script[i]), &script[i]);
    stop_with(server, SIGKILL);

    config("drain = { timeout = \"60s\"; }; deadline = \"120s\";");
    server = serve(GRACED, argv, port);
    for (int i = 0; i < count; i++)
        connections[i] = begin(port, &script[i]);
    send_signal(server, SIGTERM);
    wait_contains(server->err, "draining");
    for (int i = 0; i < count; i++)
        compare(&script[i], bare[i], finish(connections[i], &script[i]));
    expect_status(wait_end(server), KILLED(SIGTERM));
}

START_TEST(answers_of_every_kind_are_the_bare_servers)
{
    int port = free_port();
    play(ARGV(program("answerer"), text("%d", port)), port, scripts, SCRIPTS);
}
END_TEST

/* Its answers go out by sendall, one line of the head at a time or all of it; HTTP/1.0. */
START_TEST(python_serves_as_ever)
{
    static const struct script files[] = {{{GET("/page.html")}, 1},
                                          {{HEAD("/page.html")}, 1},
                                          {{GET("/none")}, 1},
                                          {{GET("/big")}, 1}};
    int port = free_port();
    write_file("page.html", "<p>HTTP/1.1 200 OK\r\n\r\n</p>\n");
    write_file("big", "%0500000d", 7);
    play(ARGV("/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", text("%d", port)),
         port, files, 4);
}
END_TEST

START_TEST(node_serves_as_ever)
{
    static const struct script pages[] = {
        {{GET("/")}, 1},
        {{HEAD("/")}, 1},
        {{GET("/chunks")}, 1},
        {{GET("/204")}, 1},
        {{GET("/") GET("/chunks") GET("/204")}, 3},
        {{GET("/"), HEAD("/"), GET("/chunks")}, 3},
        {{GET("/big")}, 1},
    };
    int port = free_port();
    write_file("server.js",
               "const http = require('http');\n"
               "http.createServer((request, response) => {\n"
               "  if (request.url === '/204') { response.writeHead(204); response.end(); }\n"
               "  else if (request.url === '/chunks') { response.write('one');\n"
               "    setImmediate(() => response.end('two')); }\n"
               "  else if (request.url === '/big') response.end('x'.repeat(1000000));\n"
               "  else { response.setHeader('Content-Length', 6); response.end('hello\\n'); }\n"
               "}).listen(%d, '127.0.0.1');\n",
               port);
    play(ARGV("/usr/bin/node", here("server.js")), port, pages, 7);
}
END_TEST

/* With drain.http = false nobody touches an answer. */
START_TEST(not_asked_for_it_leaves_answers_alone)
{
    static const struct script one = {{GET("/once")}, 0};
    int port = free_port();
    config("drain = { timeout = \"60s\"; http = false; }; deadline = \"120s\";");
    struct process *server = serve(GRACED, ARGV(program("answerer"), text("%d", port)), port);
    int connection = begin(port, &one);
    send_signal(server, SIGTERM);
    wait_contains(server->err, "draining");
    struct answers got = finish(connection, &one);
    expect(memmem(got.text, got.length, "Connection: keep-alive\r\n", 24) != NULL);
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("answers");
    TCase *group = story_case(all, "answers");
    tcase_add_test(group, answers_of_every_kind_are_the_bare_servers);
    tcase_add_test(group, python_serves_as_ever);
    tcase_add_test(group, node_serves_as_ever);
    tcase_add_test(group, not_asked_for_it_leaves_answers_alone);
    return all;
}
