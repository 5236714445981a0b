/*
 * An HTTP/1.1 server inside TLS, by OpenSSL: a thread for each connection, kept alive. It answers
 * in each way that there is to call SSL_write, by the path that is asked for, and knows nothing of
 * signals. A client that offers HTTP/2 gets it chosen, and the same answers.
 *
 *     secure PORT FOLDER [DELAY_MS]      FOLDER: with cert.pem and key.pem
 */
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../accept_loop.h"

#define OK    "HTTP/1.1 200 OK\r\n"
#define FIVE  OK "Content-Length: 5\r\n"
#define ALIVE "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=9\r\n"
#define BIG   400000

static SSL_CTX *context;
static long delay_ms;

static void say(SSL *tls, const char *text)
{
    if (SSL_write(tls, text, (int)strlen(text)) != (int)strlen(text))
        pthread_exit(NULL);
}

/* ---- ways to answer ------------------------------------------------------------------------ */

static void at_once(SSL *tls)
{
    say(tls, FIVE ALIVE "\r\nhello");
}

static void in_two(SSL *tls)
{
    say(tls, FIVE ALIVE "\r\n");
    say(tls, "hello");
}

static void by_write_ex(SSL *tls)
{
    size_t written = 7;
    const char *text = FIVE "\r\nhello";
    if (SSL_write_ex(tls, text, strlen(text), &written) != 1 || written != strlen(text))
        pthread_exit(NULL);
}

static void by_bytes(SSL *tls)
{
    for (const char *at = FIVE ALIVE "Connection-Id: 7\r\n\r\nhello"; *at != '\0'; at++)
        if (SSL_write(tls, at, 1) != 1)
            pthread_exit(NULL);
}

static void by_chunks(SSL *tls)
{
    say(tls, OK "Transfer-Encoding: chunked\r\n\r\n");
    say(tls, "5\r\nhello\r\n11\r\n");
    say(tls, OK "\r\n0\r\n\r\n");
}

static void for_head(SSL *tls)
{
    say(tls, OK "Content-Length: 5000\r\n\r\n");
}

static void with_nothing(SSL *tls)
{
    say(tls, "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n");
}

static void not_modified(SSL *tls)
{
    say(tls, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n" ALIVE "\r\n");
}

static void with_information(SSL *tls)
{
    say(tls, "HTTP/1.1 100 Continue\r\n\r\n");
    say(tls, FIVE "\r\nhello");
}

static void saying_close(SSL *tls)
{
    say(tls, FIVE "Connection: close\r\n\r\nhello");
}

static void looking_like_one(SSL *tls)
{
    say(tls, OK "Content-Length: 38\r\n\r\n");
    say(tls, OK "Content-Length: 0\r\n\r\n");
}

static void upgraded(SSL *tls)
{
    say(tls, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    say(tls, FIVE "\r\nhello");
}

static size_t make_big(char *all)
{
    size_t head = (size_t)sprintf(all, OK "Content-Length: %d\r\n" ALIVE "\r\n", BIG);
    for (size_t i = 0; i < BIG; i++)
        all[head + i] = (char)('a' + i % 26);
    return head + BIG;
}

static void at_once_and_big(SSL *tls)
{
    static char all[BIG + 128];
    size_t length = make_big(all);
    if (SSL_write(tls, all, (int)length) != (int)length)
        pthread_exit(NULL);
}

/* Into a full socket buffer, without blocking. With `piecewise` OpenSSL may send a part, and the
 * bytes are elsewhere each time that they are to be sent again. */
static void without_blocking(SSL *tls, bool piecewise)
{
    char *all = malloc(3 * (BIG + 128)), *places[2] = {all + BIG + 128, all + 2 * (BIG + 128)};
    size_t length = make_big(all), done = 0;
    int fd = SSL_get_fd(tls), small = 4096, flags = fcntl(fd, F_GETFL);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (piecewise)
        SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    for (unsigned turn = 0; done < length; turn++) {
        char *from = piecewise ? memcpy(places[turn % 2], all + done, length - done) : all + done;
        int sent = SSL_write(tls, from, (int)(length - done));
        if (sent > 0)
            done += (size_t)sent;
        else if (SSL_get_error(tls, sent) == SSL_ERROR_WANT_WRITE)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else
            pthread_exit(NULL);
        memset(places[turn % 2], 0, piecewise ? length : 0);
    }
    SSL_clear_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    fcntl(fd, F_SETFL, flags);
    free(all);
}

static void again_and_again(SSL *tls)
{
    without_blocking(tls, false);
}

static void piecewise(SSL *tls)
{
    without_blocking(tls, true);
}

static const struct {
    const char *path;
    void (*answer)(SSL *tls);
} ways[] = {
    {"/once", at_once},           {"/length", in_two},       {"/ex", by_write_ex},
    {"/bytes", by_bytes},         {"/chunks", by_chunks},    {"/head", for_head},
    {"/nothing", with_nothing},   {"/close", saying_close},  {"/information", with_information},
    {"/looks", looking_like_one}, {"/upgrade", upgraded},    {"/big", at_once_and_big},
    {"/full", again_and_again},   {"/piecewise", piecewise}, {"/not-modified", not_modified},
};

/* ---- requests ------------------------------------------------------------------------------ */

static bool read_request(SSL *tls, char *head, size_t size)
{
    size_t length = 0;
    while (length < size - 1 && SSL_read(tls, head + length, 1) == 1) {
        head[++length] = '\0';
        if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static void *serve(void *argument)
{
    char head[4096], path[64];
    int fd = (int)(intptr_t)argument;
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (SSL_accept(tls) == 1)
        while (read_request(tls, head, sizeof head)) {
            sscanf(head, "%*s %63s", path);
            nanosleep(&(struct timespec){0, delay_ms * 1000000}, NULL);
            for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
                if (strcmp(ways[i].path, path) == 0)
                    ways[i].answer(tls);
        }
    SSL_shutdown(tls);
    SSL_free(tls);
    close(fd);
    return NULL;
}

static int choose(SSL *tls, const unsigned char **chosen, unsigned char *length,
                  const unsigned char *offered, unsigned offered_length, void *unused)
{
    (void)tls;
    (void)unused;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, length,
                                 (const unsigned char *)"\2h2\10http/1.1", 12, offered,
                                 offered_length) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static bool make_context(const char *folder)
{
    char cert[512], key[512];
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_alpn_select_cb(context, choose, NULL);
    return SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

int main(int argc, char **argv)
{
    if (argc < 3 || !make_context(argv[2]))
        return 2;
    delay_ms = argc > 3 ? atol(argv[3]) : 0;
    signal(SIGPIPE, SIG_IGN);
    return accept_loop(atoi(argv[1]), serve);
}
