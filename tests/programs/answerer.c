/*
 * An HTTP/1.1 server that answers in every way that a server may, by the path that is asked for. It
 * knows nothing of signals. A thread for each connection, kept alive.
 *
 *     answerer PORT
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "accept_loop.h"

#define OK    "HTTP/1.1 200 OK\r\n"
#define FIVE  OK "Content-Length: 5\r\n"
#define ALIVE "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=9\r\n"
#define BIG   400000

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        pthread_exit(NULL);
}

static struct iovec piece(const char *text)
{
    return (struct iovec){(void *)(uintptr_t)text, strlen(text)};
}

/* ---- ways to answer ------------------------------------------------------------------------ */

static void by_length(int fd)
{
    say(fd, FIVE ALIVE "\r\n");
    say(fd, "hello");
}

static void at_once(int fd)
{
    say(fd, FIVE ALIVE "\r\nhello");
}

static void for_head(int fd)
{
    say(fd, OK "Content-Length: 5000\r\n" ALIVE "\r\n");
}

static void by_chunks(int fd)
{
    say(fd, OK "Transfer-Encoding: chunked\r\n\r\n");
    say(fd, "5\r\nhello\r\n");
    say(fd, "11\r\n");
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    say(fd, "0\r\nTrailer: x\r\n\r\n");
}

static void with_nothing(int fd)
{
    say(fd, "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n");
}

static void not_modified(int fd)
{
    say(fd, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nConnection: Keep-Alive\r\n\r\n");
}

static void with_information(int fd)
{
    say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" FIVE "\r\nhello");
}

static void by_bytes(int fd)
{
    for (const char *at = FIVE ALIVE "Connection-Id: 7\r\n\r\nhello"; *at != '\0'; at++)
        if (write(fd, at, 1) != 1)
            return;
}

static void saying_close(int fd)
{
    say(fd, FIVE "Connection: close\r\n\r\nhello");
}

static void looking_like_one(int fd)
{
    say(fd, OK "Content-Length: 38\r\n\r\n");
    say(fd, OK "Content-Length: 0\r\n\r\n");
}

static void by_messages(int fd)
{
    struct iovec parts[] = {piece("HTTP/1.1 2"), piece("00 OK\r\nConnection: keep"),
                            piece("-alive\r\nContent-Length: 5\r\n\r\n")};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    struct iovec last[] = {piece("l"), piece("o")};
    struct mmsghdr more[] = {{.msg_hdr = {.msg_iov = &last[0], .msg_iovlen = 1}},
                             {.msg_hdr = {.msg_iov = &last[1], .msg_iovlen = 1}}};
    sendmsg(fd, &message, MSG_NOSIGNAL | MSG_MORE);
    send(fd, "h", 1, MSG_MORE);
    sendto(fd, "el", 2, 0, NULL, 0);
    sendmmsg(fd, more, 2, 0);
}

static void by_vectors(int fd)
{
    struct iovec parts[] = {piece(FIVE), piece(""), piece("\r"), piece("\nhello" FIVE "\r\nworld")};
    if (writev(fd, parts, 3) > 0 && pwritev2(fd, &parts[3], 1, -1, 0) < 0)
        abort();
}

static FILE *file_of(size_t size)
{
    FILE *file = tmpfile();
    for (size_t i = 0; i < size; i++)
        putc('a' + (int)(i % 26), file);
    fflush(file);
    return file;
}

static void by_sendfile(int fd)
{
    FILE *file = file_of(BIG);
    off_t offset = 0;
    char head[128];
    snprintf(head, sizeof head, OK "Content-Length: %d\r\n" ALIVE "\r\n", BIG);
    send(fd, head, strlen(head), MSG_MORE);
    while (offset < BIG && sendfile(fd, fileno(file), &offset, (size_t)(BIG - offset)) > 0)
        continue;
    fclose(file);
}

static void by_splice(int fd)
{
    int pipes[2];
    if (pipe(pipes) != 0)
        abort();
    say(fd, FIVE "\r\n");
    say(pipes[1], "hello");
    splice(pipes[0], NULL, fd, NULL, 5, 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* Into a full socket buffer, without blocking. */
static void without_blocking(int fd)
{
    static char all[BIG + 128];
    size_t head = (size_t)sprintf(all, OK "Content-Length: %d\r\n" ALIVE "\r\n", BIG);
    for (size_t i = 0; i < BIG; i++)
        all[head + i] = (char)('a' + i % 26);
    int small = 4096, flags = fcntl(fd, F_GETFL);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (size_t done = 0; done < head + BIG;) {
        ssize_t sent = write(fd, all + done, head + BIG - done);
        if (sent > 0)
            done += (size_t)sent;
        else
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    }
    fcntl(fd, F_SETFL, flags);
}

/* What begins like an answer is not HTTP any more. */
static void upgraded(int fd)
{
    say(fd,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    say(fd, "\x81\x05hello");
    say(fd, FIVE "\r\nhello");
}

static void to_the_end(int fd)
{
    say(fd, "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n");
    say(fd, FIVE "\r\nhello");
    shutdown(fd, SHUT_RDWR);
}

static const struct {
    const char *path;
    void (*answer)(int fd);
} ways[] = {
    {"/length", by_length},     {"/once", at_once},          {"/head", for_head},
    {"/chunks", by_chunks},     {"/nothing", with_nothing},  {"/not-modified", not_modified},
    {"/bytes", by_bytes},       {"/close", saying_close},    {"/information", with_information},
    {"/vectors", by_vectors},   {"/messages", by_messages},  {"/looks", looking_like_one},
    {"/sendfile", by_sendfile}, {"/splice", by_splice},      {"/full", without_blocking},
    {"/upgrade", upgraded},     {"/to-the-end", to_the_end},
};

/* ---- requests ------------------------------------------------------------------------------ */

/* Reads a request's head; false at the connection's end. */
static bool read_request(int fd, char *head, size_t size)
{
    size_t length = 0;
    while (length < size - 1 && recv(fd, head + length, 1, 0) == 1) {
        head[++length] = '\0';
        if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char head[4096], path[64];
    while (read_request(fd, head, sizeof head)) {
        sscanf(head, "%*s %63s", path);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
            if (strcmp(ways[i].path, path) == 0)
                ways[i].answer(fd);
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    return accept_loop(atoi(argc > 1 ? argv[1] : "0"), serve);
}
