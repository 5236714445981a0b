/* The command line and the listeners: see server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct settings settings = {.workers = 4, .size = 100};
static struct counts own_counts;
struct counts *counts = &own_counts;
static bool reuse_port;
static const char *user;

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void add_listener(int fd)
{
    if (settings.listener_count < LISTENERS)
        settings.listeners[settings.listener_count++] = fd;
}

static int listen_at(const struct sockaddr *address, socklen_t length)
{
    int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, address, length) != 0 || listen(fd, 1024) != 0)
        fail("listen");
    add_listener(fd);
    return fd;
}

static void listen_ip4(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    getsockname(listen_at((struct sockaddr *)&address, length), (struct sockaddr *)&address,
                &length);
    printf("ipv4 %d\n", ntohs(address.sin_port));
}

static void listen_ip6(int port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t length = sizeof address;
    getsockname(listen_at((struct sockaddr *)&address, length), (struct sockaddr *)&address,
                &length);
    printf("ipv6 %d\n", ntohs(address.sin6_port));
}

static void listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    unlink(path);
    listen_at((struct sockaddr *)&address, sizeof address);
    printf("unix %s\n", path);
}

static void listen_inherited(void)
{
    const char *count = getenv("LISTEN_FDS");
    for (int i = 0; count != NULL && i < atoi(count); i++) {
        add_listener(3 + i);
        printf("fd %d\n", 3 + i);
    }
}

static void listen_on(const char *where)
{
    const char *colon = strchr(where, ':');
    if (strncmp(where, "ipv4", 4) == 0)
        listen_ip4(colon != NULL ? atoi(colon + 1) : 0);
    else if (strncmp(where, "ipv6", 4) == 0)
        listen_ip6(colon != NULL ? atoi(colon + 1) : 0);
    else if (strncmp(where, "unix:", 5) == 0)
        listen_unix(where + 5);
    else if (strcmp(where, "fds") == 0)
        listen_inherited();
    else
        exit(64);
}

static void share_counts(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
        fail(path);
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        fail("mmap");
    close(fd);
}

static const struct mode {
    const char *name;
    void (*serve)(void);
} modes[] = {
    {"thread", serve_threads},    {"accept", serve_accepting_threads},
    {"nonblock", serve_trying},   {"fork", serve_forking},
    {"prefork", serve_preforked}, {"poll", serve_poll},
    {"select", serve_select},     {"epoll", serve_epoll},
    {"edge", serve_edge},         {"exclusive", serve_exclusive},
};

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    fprintf(stderr, "server: no mode %s\n", name);
    exit(64);
}

/* As daemons do once they have their port. Who is not root is somebody else already. */
static void give_up_rights(void)
{
    const struct passwd *entry = getpwnam(user);
    if (geteuid() != 0)
        return;
    if (entry == NULL || setgroups(0, NULL) != 0 || setgid(entry->pw_gid) != 0 ||
        setuid(entry->pw_uid) != 0)
        fail(user);
}

static const struct mode *read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"mode", required_argument, NULL, 'm'},  {"workers", required_argument, NULL, 'w'},
        {"delay", required_argument, NULL, 'd'}, {"size", required_argument, NULL, 's'},
        {"reuseport", no_argument, NULL, 'r'},   {"count", required_argument, NULL, 'c'},
        {"user", required_argument, NULL, 'u'},  {NULL, 0, NULL, 0},
    };
    const struct mode *mode = &modes[0];
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'm')
            mode = find_mode(optarg);
        else if (option == 'w')
            settings.workers = atoi(optarg);
        else if (option == 'd')
            settings.delay = atol(optarg);
        else if (option == 's')
            settings.size = atol(optarg);
        else if (option == 'r')
            reuse_port = true;
        else if (option == 'c')
            share_counts(optarg);
        else if (option == 'u')
            user = optarg;
        else
            exit(64);
    }
    return mode;
}

int main(int argc, char **argv)
{
    const struct mode *mode = read_options(argc, argv);
    while (optind < argc)
        listen_on(argv[optind++]);
    if (settings.listener_count == 0)
        exit(64);
    if (user != NULL)
        give_up_rights();
    puts("ready");
    fflush(stdout);
    mode->serve();
    return 0;
}
