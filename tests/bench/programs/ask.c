/*
 * Load on memcached: ask PORT CONNECTIONS MILLISECONDS. Each connection asks for a key, and again
 * as soon as it has the answer. Prints answers in a second, and the microseconds in which 99 of 100
 * came.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 4000000

static const char request[] = "get key\r\n", answer[] = "END\r\n";

struct asking {
    int fd;
    int64_t since; /* ns */
    size_t got;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static void ask(struct asking *asking)
{
    asking->got = 0;
    asking->since = now_ns();
    if (write(asking->fd, request, sizeof request - 1) != sizeof request - 1)
        exit(1);
}

static void begin(struct asking *asking, int port, int epoll)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = asking};
    asking->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(asking->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, asking->fd, &event) != 0)
        exit(1);
    ask(asking);
}

/* Whether the answer is whole. */
static int take(struct asking *asking)
{
    char bytes[sizeof answer];
    ssize_t got = read(asking->fd, bytes, sizeof answer - 1 - asking->got);
    if (got <= 0 || memcmp(bytes, answer + asking->got, (size_t)got) != 0)
        exit(1);
    asking->got += (size_t)got;
    return asking->got == sizeof answer - 1;
}

int main(int argc, char **argv)
{
    static uint32_t latencies[MOST];
    struct asking all[64];
    struct epoll_event events[64];
    size_t count = 0;
    int epoll = epoll_create1(0);
    if (argc != 4 || atoi(argv[2]) > 64)
        return 64;
    int64_t began = now_ns(), end = began + atol(argv[3]) * 1000000, now = began;
    for (int i = 0; i < atoi(argv[2]); i++)
        begin(&all[i], atoi(argv[1]), epoll);
    while (now < end && count + 64 < MOST) {
        int ready = epoll_wait(epoll, events, 64, -1);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            struct asking *asking = events[i].data.ptr;
            if (!take(asking))
                continue;
            latencies[count++] = (uint32_t)(now - asking->since);
            ask(asking);
        }
    }
    qsort(latencies, count, sizeof *latencies, by_value);
    printf("%.1f %.3f %zu\n", (double)count * 1e9 / (double)(now - began),
           count > 0 ? (double)latencies[count * 99 / 100] / 1e3 : 0.0, count);
    return 0;
}
