/*
 * HTTP/1.x answers that are given while a server drains, plain or inside TLS: byte for byte those
 * of the bare server, but that each says that it is the connection's last.
 *
 * Each conversation has its connection, and half of its first request sent, when the stop begins;
 * the rest comes when the server drains. What a line says of keeping the connection, and the date,
 * are taken out on both sides before they are compared.
 */
#include "harness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdlib.h>
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
 * many answers say close at the end. The fourth word, if any, is no request but the protocol that
 * the client offers inside TLS (ALPN). */
struct script {
    const char *requests[4];
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

struct connection {
    int fd;
    SSL *tls; /* NULL: plain */
};

static void send_all(struct connection to, const char *bytes, size_t length)
{
    expect((to.tls != NULL ? SSL_write(to.tls, bytes, (int)length)
                           : send(to.fd, bytes, length, MSG_NOSIGNAL)) == (ssize_t)length);
}

static size_t read_some(struct connection from, struct answers *to)
{
    size_t room = GREATEST - to->length, most = room < PIECE ? room : PIECE;
    ssize_t n = from.tls != NULL ? SSL_read(from.tls, to->text + to->length, (int)most)
                                 : recv(from.fd, to->text + to->length, most, 0);
    if (from.tls != NULL && SSL_get_error(from.tls, (int)n) == SSL_ERROR_ZERO_RETURN)
        n = 0;
    expect(n >= 0, "an answer was cut");
    to->length += (size_t)n;
    return (size_t)n;
}

/* A client that asks so leaves it to the server to end: some say nothing to one that has ended. */
#define LAST "/last "

static void end_requests(struct connection connection)
{
    if (connection.tls != NULL)
        SSL_shutdown(connection.tls);
    else
        shutdown(connection.fd, SHUT_WR);
}

static void end(struct connection connection)
{
    SSL_free(connection.tls);
    close(connection.fd);
}

/* Where the first request's last byte is. */
static size_t end_of_first(const struct script *script)
{
    return (size_t)(strstr(script->requests[0], "\r\n\r\n") - script->requests[0]) + 3;
}

/* So that the kernel's clock tells the handshake from the request that follows. */
static void wait_ms_since_handshake(int fd)
{
    struct tcp_info info;
    do {
        socklen_t length = sizeof info;
        expect(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
        sched_yield();
    } while (info.tcpi_last_data_recv < 20);
}

/* TLS 1.2: what a server says behind a handshake of TLS 1.3 (tickets) the kernel may send when half
 * a request has come, and the connection looks idle then. */
static SSL *secure(int fd, const char *protocol)
{
    static SSL_CTX *context;
    if (context == NULL)
        context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (protocol != NULL)
        SSL_set_alpn_protos(tls,
                            (const unsigned char *)text("%c%s", (int)strlen(protocol), protocol),
                            (unsigned)strlen(protocol) + 1);
    expect(SSL_connect(tls) == 1);
    wait_ms_since_handshake(fd);
    return tls;
}

static struct connection begin(int port, const struct script *script, bool is_secure)
{
    struct connection connection = {.fd = dial(port)};
    expect(connection.fd >= 0);
    if (is_secure)
        connection.tls = secure(connection.fd, script->requests[3]);
    send_all(connection, script->requests[0], end_of_first(script));
    return connection;
}

static struct answers finish(struct connection connection, const struct script *script)
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
    if (strstr(script->requests[0], LAST) == NULL)
        end_requests(connection);
    while (read_some(connection, &got) > 0)
        continue;
    end(connection);
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

static void play_with(const char *const *argv, int port, const struct script *script, int count,
                      bool is_secure)
{
    struct answers bare[MOST_SCRIPTS];
    struct connection connections[MOST_SCRIPTS];
    struct process *server = serve(BARE, argv, port);
    for (int i = 0; i < count; i++)
        bare[i] = finish(begin(port, &script[i], is_secure), &script[i]);
    stop_with(server, SIGKILL);

    config("drain = { timeout = \"10m\"; }; deadline = \"20m\";");
    server = serve(GRACED, argv, port);
    for (int i = 0; i < count; i++)
        connections[i] = begin(port, &script[i], is_secure);
    send_signal(server, SIGTERM);
    wait_contains(server->err, "draining");
    for (int i = 0; i < count; i++)
        compare(&script[i], bare[i], finish(connections[i], &script[i]));
    expect_status(wait_end(server), KILLED(SIGTERM));
}

static void play(const char *const *argv, int port, const struct script *script, int count)
{
    play_with(argv, port, script, count, false);
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
    config("drain = { timeout = \"10m\"; http = false; }; deadline = \"20m\";");
    struct process *server = serve(GRACED, ARGV(program("answerer"), text("%d", port)), port);
    struct connection connection = begin(port, &one, false);
    send_signal(server, SIGTERM);
    wait_contains(server->err, "draining");
    struct answers got = finish(connection, &one);
    expect(memmem(got.text, got.length, "Connection: keep-alive\r\n", 24) != NULL);
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

/* ---- inside TLS ---------------------------------------------------------------------------- */

static const char *certificate(void)
{
    const char *folder = story_directory();
    expect(system(text("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                       "-days 30 -subj /CN=localhost -keyout '%s/key.pem' -out '%s/cert.pem' "
                       ">/dev/null 2>&1",
                       folder, folder)) == 0); /* NOLINT(cert-env33-c) */
    return folder;
}

/* What is sent without blocking may repeat a call that was made before the drain: the first call
 * on a connection passes there. */
START_TEST(inside_tls_they_are_too)
{
    static const struct script secured[] = {
        {{GET("/once")}, 1},
        {{GET("/length")}, 1},
        {{GET("/ex")}, 1},
        {{GET("/bytes")}, 1},
        {{GET("/chunks")}, 1},
        {{GET("/head"), GET("/once")}, 2},
        {{GET("/nothing")}, 1},
        {{GET("/not-modified")}, 1},
        {{GET("/information")}, 1},
        {{GET("/close")}, 1},
        {{GET("/looks")}, 1},
        {{GET("/upgrade")}, 0},
        {{GET("/big")}, 1},
        {{GET("/full")}, 0},
        {{GET("/once"), GET("/full"), GET("/piecewise")}, 3},
        {{GET("/piecewise"), GET("/length"), GET("/full")}, 2},
        {{GET("/once") GET("/length") GET("/chunks") GET("/nothing") GET("/big") GET("/ex")}, 6},
        {{GET("/once"), GET("/bytes"), NULL, "http/1.1"}, 2},
        {{GET("/once"), GET("/bytes"), NULL, "h2"}, 0},
    };
    int port = free_port();
    play_with(ARGV(program("secure"), text("%d", port), certificate()), port, secured,
              (int)(sizeof secured / sizeof *secured), true);
}
END_TEST

#define SERVE_TLS                                                                                  \
    "import ssl, sys\n"                                                                            \
    "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"                                          \
    "context.load_cert_chain('cert.pem', 'key.pem')\n"

/* SSL_write_ex in its module _ssl, on a blocking socket. */
START_TEST(python_serves_inside_tls_as_ever)
{
    static const struct script files[] = {{{GET("/page.html"), GET("/none")}, 2},
                                          {{HEAD("/page.html"), GET("/page.html")}, 2},
                                          {{GET("/big"), HEAD("/big")}, 2}};
    int port = free_port();
    certificate();
    write_file("page.html", "<p>HTTP/1.1 200 OK\r\n\r\n</p>\n");
    write_file("big", "%0500000d", 7);
    write_file("server.py",
               SERVE_TLS
               "from http.server import *\n"
               "SimpleHTTPRequestHandler.protocol_version = 'HTTP/1.1'\n"
               "server = ThreadingHTTPServer(('127.0.0.1', %d), SimpleHTTPRequestHandler)\n"
               "server.socket = context.wrap_socket(server.socket, server_side=True)\n"
               "server.serve_forever()\n",
               port);
    play_with(ARGV("/usr/bin/python3", here("server.py")), port, files, 3, true);
}
END_TEST

/* Into memory: the event loop sends what comes out by itself. */
START_TEST(asyncio_serves_inside_tls_as_ever)
{
    static const struct script pages[] = {{{GET("/") GET("/last")}, 2},
                                          {{GET("/") GET("/big") GET("/last")}, 3},
                                          {{GET("/big") GET("/last")}, 2}};
    int port = free_port();
    certificate();
    write_file("server.py",
               SERVE_TLS "import asyncio\n"
                         "async def serve(reader, writer):\n"
                         "    request = b''\n"
                         "    while b'/last' not in request:\n"
                         "        request = await reader.readuntil(b'\\r\\n\\r\\n')\n"
                         "        body = b'hello' * (100000 if b'/big' in request else 1)\n"
                         "        head = 'HTTP/1.1 200 OK\\r\\nContent-Length: %%d\\r\\n\\r\\n'\n"
                         "        writer.write((head %% len(body)).encode() + body)\n"
                         "        await writer.drain()\n"
                         "    writer.close()\n"
                         "async def main():\n"
                         "    server = await asyncio.start_server(serve, '127.0.0.1', %d,\n"
                         "                                        ssl=context)\n"
                         "    await server.serve_forever()\n"
                         "asyncio.run(main())\n",
               port);
    play_with(ARGV("/usr/bin/python3", here("server.py")), port, pages, 3, true);
}
END_TEST

/* With drain.http = false not here either. */
START_TEST(not_asked_for_it_leaves_tls_alone)
{
    static const struct script one = {{GET("/once"), GET("/once")}, 0};
    int port = free_port();
    config("drain = { timeout = \"60s\"; http = false; }; deadline = \"120s\";");
    struct process *server =
        serve(GRACED, ARGV(program("secure"), text("%d", port), certificate()), port);
    struct connection connection = begin(port, &one, true);
    send_signal(server, SIGTERM);
    wait_contains(server->err, "draining");
    struct answers got = finish(connection, &one);
    expect(memmem(got.text, got.length, "Connection: keep-alive\r\n", 24) != NULL);
    expect(strip(&got) == 0);
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
    tcase_add_test(group, inside_tls_they_are_too);
    tcase_add_test(group, python_serves_inside_tls_as_ever);
    tcase_add_test(group, asyncio_serves_inside_tls_as_ever);
    tcase_add_test(group, not_asked_for_it_leaves_tls_alone);
    return all;
}
