/* One kind of work again and again, in one thread: steady WAY COUNT. Prints the nanoseconds that
 * each took. What happens beside the program's start is over by then. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static FILE *null;
static int listener = -1, ends[2];
static struct sockaddr_un address;
static socklen_t address_length = sizeof address;
static volatile sig_atomic_t delivered;

static void use_malloc(long i)
{
    char *volatile block = malloc(16 + (size_t)(i * 7 % 3000));
    free(block);
}

static void use_putc(long i)
{
    putc((int)(i & 63), null);
}

static void use_poll(long i)
{
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    (void)i;
    if (poll(&fd, 1, 1000) != 1)
        exit(1);
}

static void take(int signo)
{
    (void)signo;
    delivered++;
}

static void use_signal(long i)
{
    kill(getpid(), SIGHUP);
    if (delivered != i + 1)
        exit(1);
}

static void use_accept(long i)
{
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)i;
    if (connect(client, (struct sockaddr *)&address, address_length) != 0)
        exit(1);
    int accepted = accept(listener, NULL, NULL);
    if (accepted < 0)
        exit(1);
    close(accepted);
    close(client);
}

static const struct way {
    const char *name;
    void (*use)(long i);
} ways[] = {
    {"malloc", use_malloc}, {"putc", use_putc},     {"poll", use_poll},
    {"signal", use_signal}, {"accept", use_accept},
};

static void prepare(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = take;
    null = fopen("/dev/null", "w");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    address.sun_family = AF_UNIX;
    if (null == NULL || sigaction(SIGHUP, &action, NULL) != 0 || pipe(ends) != 0 ||
        write(ends[1], "x", 1) != 1 ||
        bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &address_length) != 0 ||
        listen(listener, 8) != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    struct timespec begin, end;
    if (argc != 3)
        return 64;
    prepare();
    long count = atol(argv[2]);
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        if (strcmp(ways[way].name, argv[1]) != 0)
            continue;
        if (count > 0)
            usleep(20000);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (long i = 0; i < count; i++)
            ways[way].use(i);
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%.4f\n",
               ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
                   (double)(count > 0 ? count : 1));
        return 0;
    }
    return 64;
}
