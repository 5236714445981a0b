/* Ports and requests. */
#include "harness.h"
#include "harness_story.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Below those that the kernel gives to clients, which would take it again at once, and those that
 * examples/common.sh takes. */
enum { LOWEST_PORT = 10000, PORTS = 10000 };

static bool is_free(int port)
{
    struct sockaddr_in address = loopback(port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free =
        listener >= 0 && bind(listener, (const struct sockaddr *)&address, sizeof address) == 0;
    if (listener >= 0)
        close(listener);
    return free;
}

/*
 * Nobody else's while this test lives, also before a server listens there and between two: other
 * test programs that run now ask for the same name, which is of the same network namespace.
 */
static bool reserve(int port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "grace-test-port-%d", port);
    int holder = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (holder >= 0 &&
        bind(holder, (const struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)length) == 0)
        return true; /* kept open until the end */
    close(holder);
    return false;
}

int free_port(void)
{
    for (int tries = 0; tries < 1000; tries++) {
        unsigned number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            break;
        int port = LOWEST_PORT + (int)(number % PORTS);
        if (reserve(port) && is_free(port))
            return port;
    }
    story_fail(__FILE__, __LINE__, "no free port: %s", strerror(errno));
}

int dial(int port)
{
    struct sockaddr_in address = loopback(port);
    struct timeval limit = {.tv_sec = STORY_LIMIT_MS / 1000};
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0)
        return connection;
    close(connection);
    return -1;
}

void wait_port(struct process *process, int port)
{
    for (int64_t since = now_ms();;) {
        int connection = dial(port);
        if (connection >= 0) {
            close(connection);
            return;
        }
        if (has_ended(process))
            story_fail(__FILE__, __LINE__, "%s ended before it listened", process->title);
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s does not listen on port %d", process->title, port);
    }
}

size_t exchange(int port, const void *request, size_t length, size_t enough, char *answer,
                size_t size)
{
    size_t got = 0;
    answer[0] = '\0';
    int connection = dial(port);
    if (connection < 0)
        return 0;
    if (send(connection, request, length, MSG_NOSIGNAL) == (ssize_t)length) {
        ssize_t n;
        while (got < enough && got < size - 1 &&
               (n = recv(connection, answer + got, size - 1 - got, 0)) > 0)
            got += (size_t)n;
    }
    close(connection);
    answer[got] = '\0';
    return got;
}

int ask_at(int port, const char *path)
{
    int connection = dial(port);
    const char *words = text("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    expect(connection >= 0, "%s", strerror(errno));
    expect(send(connection, words, strlen(words), MSG_NOSIGNAL) == (ssize_t)strlen(words));
    return connection;
}

const char *answer_of(int connection)
{
    static char answer[4096];
    size_t got = 0;
    for (ssize_t n; got < sizeof answer - 1 &&
                    (n = recv(connection, answer + got, sizeof answer - 1 - got, 0)) > 0;)
        got += (size_t)n;
    answer[got] = '\0';
    close(connection);
    return answer;
}

int http_get(int port, const char *path, char **body)
{
    static char answer[65536];
    const char *request = text("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    exchange(port, request, strlen(request), sizeof answer, answer, sizeof answer);
    int status = 0;
    if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1)
        return 0;
    char *end_of_head = strstr(answer, "\r\n\r\n");
    if (body != NULL)
        *body = text("%s", end_of_head != NULL ? end_of_head + 4 : "");
    return status;
}
