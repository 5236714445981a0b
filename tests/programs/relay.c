/*
 * A server that asks another one: relay PORT PATH. It keeps a connection to 127.0.0.1:PORT and one
 * to the Unix socket PATH. What a client of its own sends, it sends on to both, and answers with
 * what both say; then it closes. One client at a time. Writes its own port, then "ready".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const void *address, socklen_t length, int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (connect(fd, address, length) != 0)
        exit(1);
    return fd;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_local(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return connect_to(&address, sizeof address, AF_UNIX);
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 16) != 0)
        exit(1);
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\nready\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Returns the answer's length, 0 if the other side has gone. */
static size_t ask(int other, const char *words, size_t length, char *answer, size_t size)
{
    if (send(other, words, length, MSG_NOSIGNAL) < 0)
        return 0;
    ssize_t got = read(other, answer, size);
    return got > 0 ? (size_t)got : 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    struct sockaddr_in address = loopback(atoi(argv[1]));
    int others[] = {connect_to(&address, sizeof address, AF_INET), connect_local(argv[2])};
    int listener = listen_anywhere();
    for (;;) {
        char words[512], answer[512];
        int client = accept(listener, NULL, NULL);
        ssize_t got = read(client, words, sizeof words);
        for (int i = 0; got > 0 && i < 2; i++) {
            size_t length = ask(others[i], words, (size_t)got, answer, sizeof answer);
            if (length == 0)
                dprintf(client, "the other is gone\n");
            else
                send(client, answer, length, MSG_NOSIGNAL);
        }
        close(client);
    }
}
