/*
 * A request of TLS 1.3 that came with the end of the handshake: the server sends session tickets
 * behind it, which is no answer. It is waited for; connections that are idle are let go meanwhile,
 * as are those of plain HTTP that look the same.
 */
#include "harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"

/* Half of this is longer than any story may take. */
#define LONG_DRAIN "deadline = \"2h\"; drain = { timeout = \"1h\"; };"

/* ---- servers -----------------------------------------------------------------------------------
 * Both answer at once, but for /slow, which waits for the file "go". */

static const char *const names[] = {"asyncio", "Node"};
#define SERVERS ((int)(sizeof names / sizeof names[0]))

static const char asyncio_server[] =
    "import asyncio, os, ssl, sys\n"
    "context = None\n"
    "if sys.argv[2] == 'tls':\n"
    "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "    context.load_cert_chain('cert.pem', 'key.pem')\n"
    "async def serve(reader, writer):\n"
    "    try:\n"
    "        while request := await reader.readuntil(b'\\r\\n\\r\\n'):\n"
    "            if b'/slow' in request:\n"
    "                print('working', flush=True)\n"
    "            while b'/slow' in request and not os.path.exists('go'):\n"
    "                await asyncio.sleep(0.01)\n"
    "            writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 500\\r\\n\\r\\n' +\n"
    "                         b'a' * 495 + b'hello')\n"
    "    except (asyncio.IncompleteReadError, ConnectionError):\n"
    "        writer.close()\n"
    "async def main():\n"
    "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]), ssl=context)\n"
    "    await server.serve_forever()\n"
    "asyncio.run(main())\n";

static const char node_server[] =
    "const https = require('https'), fs = require('fs');\n"
    "const options = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };\n"
    "https.createServer(options, (request, response) => {\n"
    "  const answer = () => request.url != '/slow' || fs.existsSync('go')\n"
    "      ? response.end('a'.repeat(495) + 'hello') : setTimeout(answer, 10);\n"
    "  if (request.url == '/slow') console.log('working');\n"
    "  answer();\n"
    "}).listen(Number(process.argv[2]), '127.0.0.1').keepAliveTimeout = 3600000;\n";

static struct process *server;
static int port;

static void start_server(const char *const *argv)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" LONG_DRAIN, here("log"));
    server = launch(&(struct launch){.way = GRACED, .argv = argv});
    wait_port(server, port);
}

static void make_certificate(void)
{
    const char *folder = story_directory();
    expect(system(text("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                       "-days 30 -subj /CN=localhost -keyout '%s/key.pem' -out '%s/cert.pem' "
                       ">/dev/null 2>&1",
                       folder, folder)) == 0); /* NOLINT(cert-env33-c) */
}

static void start_tls_server(const char *name)
{
    port = free_port();
    make_certificate();
    write_file("server.py", "%s", asyncio_server);
    write_file("server.js", "%s", node_server);
    if (strcmp(name, "Node") == 0)
        start_server(ARGV("node", "server.js", text("%d", port)));
    else
        start_server(ARGV(PYTHON, "server.py", text("%d", port), "tls"));
}

static void wait_stopped(void)
{
    const char *stat = text("/proc/%d/stat", server->pid);
    for (int64_t since = now_ms(); strstr(contents(stat), ") T ") == NULL;)
        expect(now_ms() - since < STORY_LIMIT_MS);
}

/* What is sent meanwhile is there, all of it, some ticks before the server sees it: whatever it
 * sends was certainly sent after that. */
static void hold_server(void)
{
    send_signal(server, SIGSTOP);
    wait_stopped();
}

static void let_server_go_on(void)
{
    let_pass(30);
    send_signal(server, SIGCONT);
}

/* ---- clients -----------------------------------------------------------------------------------
 */

struct client {
    int fd;
    SSL *tls; /* NULL: plain */
    BIO *in, *out;
    char answer[4096];
    size_t length;
};

static void send_bytes(const struct client *client, const void *bytes, size_t length)
{
    expect(send(client->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

/* What OpenSSL has to send, as a segment of its own. */
static void put_out(const struct client *client)
{
    char bytes[16384];
    int length = BIO_read(client->out, bytes, sizeof bytes);
    if (length > 0)
        send_bytes(client, bytes, (size_t)length);
}

/* What comes next: at least one byte, or the end (0). */
static size_t receive(const struct client *client, char *bytes, size_t size)
{
    ssize_t length = recv(client->fd, bytes, size, 0);
    expect(length >= 0, "%s\n%s", strerror(errno), contents("log"));
    return (size_t)length;
}

/* False: the end. */
static bool take_in(struct client *client)
{
    char bytes[16384], *into = client->answer + client->length;
    size_t room = sizeof client->answer - client->length;
    if (client->tls == NULL) {
        size_t length = receive(client, into, room);
        client->length += length;
        return length > 0;
    }
    size_t length = receive(client, bytes, sizeof bytes);
    BIO_write(client->in, bytes, (int)length);
    int got = SSL_read(client->tls, into, (int)room);
    client->length += got > 0 ? (size_t)got : 0;
    return length > 0;
}

static struct client dial_plain(void)
{
    struct client client = {.fd = dial(port)};
    int on = 1;
    expect(client.fd >= 0);
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
}

/* The end of the handshake is still to be put out. */
static struct client dial_tls(void)
{
    struct client client = dial_plain();
    char bytes[16384];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    client.tls = SSL_new(context);
    client.in = BIO_new(BIO_s_mem());
    client.out = BIO_new(BIO_s_mem());
    SSL_set_bio(client.tls, client.in, client.out);
    SSL_set_min_proto_version(client.tls, TLS1_3_VERSION);
    while (SSL_connect(client.tls) != 1) {
        put_out(&client);
        BIO_write(client.in, bytes, (int)receive(&client, bytes, sizeof bytes));
    }
    return client;
}

static void ask(struct client *client, const char *path)
{
    const char *request = text("GET %s HTTP/1.1\r\nHost: localhost\r\nA: %080d\r\n\r\n", path, 0);
    client->length = 0;
    if (client->tls == NULL) {
        send_bytes(client, request, strlen(request));
        return;
    }
    expect(SSL_write(client->tls, request, (int)strlen(request)) == (int)strlen(request));
    put_out(client);
}

static void expect_answer(struct client *client)
{
    while (memmem(client->answer, client->length, "hello", 5) == NULL)
        expect(take_in(client), "%.*s\n%s", (int)client->length, client->answer, contents("log"));
}

static void expect_end(struct client *client)
{
    while (take_in(client))
        continue;
    close(client->fd);
}

/* ---- the stories -------------------------------------------------------------------------------
 */

static void expect_none_cut(void)
{
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(strstr(contents("log"), " 0 cut") != NULL, "%s", contents("log"));
}

/* It goes out right behind the handshake; the server sees both at once. */
static void ask_first(struct client *client, const char *path)
{
    hold_server();
    put_out(client);
    ask(client, path);
    let_server_go_on();
}

START_TEST(a_request_behind_the_handshake_is_waited_for)
{
    start_tls_server(names[_i]);
    struct client slow = dial_tls(), idle = dial_tls();
    ask_first(&slow, "/slow");
    wait_contains(server->out, "working");
    put_out(&idle);
    for (int i = 0; i < 4; i++) {
        ask(&idle, "/");
        expect_answer(&idle);
    }
    hold_server();
    ask(&idle, "/");
    let_server_go_on();
    expect_answer(&idle);

    send_signal(server, SIGTERM);
    expect_end(&idle); /* quiet for less long than the other */
    write_file("go", "%s", "");
    expect_answer(&slow);
    close(slow.fd);
    expect_none_cut();
}
END_TEST

/* Two requests, each in two parts: more came than went out. */
static void look_like_tickets(struct client *client)
{
    const char *most = text("GET /size=500 HTTP/1.1\r\nHost: localhost\r\nA: %0200d\r\n", 0);
    for (int i = 0; i < 2; i++) {
        hold_server();
        send_bytes(client, most, strlen(most));
        send_bytes(client, "\r\n", 2);
        let_server_go_on();
        client->length = 0;
        while (client->length < 500)
            expect(take_in(client));
    }
}

START_TEST(an_answer_in_plain_tells_that_there_is_no_tls)
{
    port = free_port();
    write_file("server.py", "%s", asyncio_server);
    start_server(ARGV(PYTHON, "server.py", text("%d", port), "plain"));
    struct client idle = dial_plain(), slow = dial_plain();
    look_like_tickets(&idle);
    ask(&slow, "/slow");
    wait_contains(server->out, "working");
    send_signal(server, SIGTERM);
    wait_contains("log", "is closed to new connections");
    write_file("go", "%s", "");
    expect_answer(&slow);
    close(slow.fd);
    expect_end(&idle);
    expect_none_cut();
}
END_TEST

START_TEST(where_no_tls_is_loaded_nothing_looks_like_it)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" LONG_DRAIN, here("log"));
    server = start(GRACED, program("server"), "--mode", "epoll", "ipv4");
    wait_ready(server);
    port = atoi(contents(server->out) + strlen("ipv4 "));
    struct client idle = dial_plain();
    look_like_tickets(&idle);
    send_signal(server, SIGTERM);
    expect_end(&idle);
    expect_none_cut();
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain: TLS");
    TCase *group = story_case(all, "tls");
    tcase_add_loop_test(group, a_request_behind_the_handshake_is_waited_for, 0, SERVERS);
    tcase_add_test(group, an_answer_in_plain_tells_that_there_is_no_tls);
    tcase_add_test(group, where_no_tls_is_loaded_nothing_looks_like_it);
    return all;
}
