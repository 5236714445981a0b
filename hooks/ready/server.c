#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* More at a time wait in the backlog. */
#define CLIENTS_MAX 32

/* How long a client may take, and how often a taken address is tried again. */
#define CLIENT_LIMIT_MS 5000
#define RETRY_MS        200

struct client {
    int fd;
    int64_t until_ms;
    size_t length;
    bool answered; /* what it still sends is read away: a reset would cost it the answer */
    char request[1024];
};

struct server {
    struct pollfd entries[2 + CLIENTS_MAX]; /* the service's word, the listener, clients */
    struct client clients[CLIENTS_MAX];
    nfds_t count; /* of clients */
    bool stopping;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the listener --------------------------------------------------------------------------- */

/* A socket that nobody listens on any more: its server died before it could remove it. */
static bool is_stale(const struct grace_ready_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale =
        fd >= 0 && connect(fd, &address->socket.any, address->length) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int bind_and_listen(int fd, const struct grace_ready_address *address)
{
    int on = 1, off = 0;
    if (address->socket.any.sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->socket.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->everywhere ? &off : &on, sizeof on);
    if (bind(fd, &address->socket.any, address->length) == 0)
        return listen(fd, 128);
    if (errno != EADDRINUSE || address->socket.any.sa_family != AF_UNIX)
        return -1;
    if (!is_stale(address)) {
        errno = EADDRINUSE;
        return -1;
    }
    unlink(address->socket.local.sun_path);
    return bind(fd, &address->socket.any, address->length) != 0 ? -1 : listen(fd, 128);
}

/* Without IPv6 on this machine, everywhere is IPv4's everywhere. */
static void fall_back_to_ipv4(struct grace_ready_address *address)
{
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)&address->socket.storage;
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = ipv6->sin6_port};
    memset(&address->socket, 0, sizeof address->socket);
    memcpy(&address->socket.storage, &ipv4, sizeof ipv4);
    address->length = sizeof ipv4;
}

/* Returns the listener, or -1 with errno set. */
static int try_listen(const struct grace_ready_address *wanted)
{
    struct grace_ready_address address = *wanted;
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(address.socket.any.sa_family, type, 0);
    if (fd < 0 && address.everywhere) {
        fall_back_to_ipv4(&address);
        fd = socket(AF_INET, type, 0);
    }
    if (fd >= 0 && bind_and_listen(fd, &address) != 0) {
        int failed = errno;
        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

/* Returns the listener; -1 with the error set; -2: all was over before the address was free. */
static int start_listening(const struct grace_ready_address *address,
                           const struct grace_service *service, struct grace_error *error)
{
    char line[200];
    bool told = false;
    for (;;) {
        int fd = try_listen(address);
        if (fd >= 0) {
            grace_service_started(service);
            return fd;
        }
        if (errno != EADDRINUSE)
            return grace_error_set(error, "cannot listen on %.200s: %s", address->text,
                                   strerror(errno));
        if (!told) {
            snprintf(line, sizeof line, "%.100s is taken; waiting until it is free", address->text);
            grace_service_log(service, GRACE_HOOK_WARNING, line);
            grace_service_started(service);
            told = true;
        }
        struct pollfd word = {.fd = service->stop_fd, .events = 0};
        if (poll(&word, 1, RETRY_MS) > 0)
            return -2;
    }
}

/* ---- clients -------------------------------------------------------------------------------- */

static void answer(struct client *client, bool stopping)
{
    char text[256];
    const char *body = stopping ? "stopping\n" : "ready\n";
    bool head = strncmp(client->request, "HEAD ", 5) == 0;
    int length =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nServer: libgrace\r\nContent-Type: text/plain\r\n"
                 "Content-Length: %zu\r\nCache-Control: no-store\r\n"
                 "Connection: close\r\n\r\n%s",
                 stopping ? "503 Service Unavailable" : "200 OK", strlen(body), head ? "" : body);
    client->answered = true;
    /* A few bytes into an empty buffer: they fit. */
    if (send(client->fd, text, (size_t)length, MSG_NOSIGNAL) < 0)
        client->until_ms = 0;
    shutdown(client->fd, SHUT_WR);
}

static bool is_whole(const struct client *client)
{
    return strstr(client->request, "\r\n\r\n") != NULL || strstr(client->request, "\n\n") != NULL ||
           client->length == sizeof client->request - 1;
}

/* Returns false when the client is done with. */
static bool serve_client(struct client *client, bool stopping)
{
    char rest[4096];
    char *to = client->answered ? rest : client->request + client->length;
    size_t room = client->answered ? sizeof rest : sizeof client->request - 1 - client->length;
    ssize_t count = recv(client->fd, to, room, 0);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0)
        return false;
    if (client->answered)
        return true;
    client->length += (size_t)count;
    client->request[client->length] = '\0';
    if (is_whole(client))
        answer(client, stopping);
    return true;
}

static void accept_clients(struct server *server)
{
    while (server->count < CLIENTS_MAX) {
        int fd = accept4(server->entries[1].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct client *client = &server->clients[server->count];
        *client = (struct client){.fd = fd, .until_ms = now_ms() + CLIENT_LIMIT_MS};
        server->entries[2 + server->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

static void serve_clients(struct server *server)
{
    int64_t now = now_ms();
    for (nfds_t i = server->count; i-- > 0;) {
        struct client *client = &server->clients[i];
        bool stays = server->entries[2 + i].revents == 0 || serve_client(client, server->stopping);
        if (stays && now < client->until_ms)
            continue;
        close(client->fd);
        server->count--;
        *client = server->clients[server->count];
        server->entries[2 + i] = server->entries[2 + server->count];
    }
}

/* Until something happens, or the first client has been here for too long. */
static void wait_for_event(struct server *server)
{
    int64_t first = -1, now = server->count > 0 ? now_ms() : 0;
    for (nfds_t i = 0; i < server->count; i++) {
        int64_t left = server->clients[i].until_ms > now ? server->clients[i].until_ms - now : 0;
        if (first < 0 || left < first)
            first = left;
    }
    server->entries[1].events = server->count < CLIENTS_MAX ? POLLIN : 0;
    if (poll(server->entries, 2 + server->count, (int)first) < 0)
        for (nfds_t i = 0; i < 2 + server->count; i++)
            server->entries[i].revents = 0;
}

/* Returns true when all is over. */
static bool hear_of_the_stop(struct server *server)
{
    char bytes[64];
    if (server->entries[0].revents == 0)
        return false;
    server->stopping = true;
    return read(server->entries[0].fd, bytes, sizeof bytes) == 0;
}

static bool same_file(const char *path, const struct stat *status)
{
    struct stat now;
    return lstat(path, &now) == 0 && now.st_ino == status->st_ino && now.st_dev == status->st_dev;
}

int grace_ready_serve(const struct grace_ready_address *address,
                      const struct grace_service *service, struct grace_error *error)
{
    static struct server server;
    const char *path =
        address->socket.any.sa_family == AF_UNIX ? address->socket.local.sun_path : NULL;
    struct stat ours = {.st_ino = 0};
    int listener = start_listening(address, service, error);
    if (listener < 0)
        return listener == -2 ? 0 : -1;
    if (path != NULL)
        lstat(path, &ours);
    server.entries[0] = (struct pollfd){.fd = service->stop_fd, .events = POLLIN};
    server.entries[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    do {
        wait_for_event(&server);
        if (hear_of_the_stop(&server))
            break;
        serve_clients(&server);
        if (server.entries[1].revents != 0)
            accept_clients(&server);
    } while (true);
    if (path != NULL && same_file(path, &ours))
        unlink(path);
    close(listener);
    return 0;
}

/* ---- as a client sees it -------------------------------------------------------------------- */

static bool wait_ready(int fd, short events, int64_t until)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int64_t left = until - now_ms();
    return poll(&entry, 1, left > 0 ? (int)left : 0) > 0;
}

int grace_ready_ask(const struct grace_ready_address *address, int64_t patience_ms)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char text[512];
    size_t length = 0;
    int64_t until = now_ms() + patience_ms;
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    struct grace_ready_address to = *address;
    int fd = socket(to.socket.any.sa_family, type, 0);
    if (fd < 0 && to.everywhere) {
        fall_back_to_ipv4(&to);
        fd = socket(AF_INET, type, 0);
    }
    bool connected = fd >= 0 && (connect(fd, &to.socket.any, to.length) == 0 ||
                                 (errno == EINPROGRESS && wait_ready(fd, POLLOUT, until)));
    if (connected && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
        while (length < sizeof text - 1 && wait_ready(fd, POLLIN, until)) {
            ssize_t count = recv(fd, text + length, sizeof text - 1 - length, 0);
            if (count <= 0)
                break;
            length += (size_t)count;
        }
    }
    if (fd >= 0)
        close(fd);
    text[length] = '\0';
    if (length == 0)
        return 0;
    int status = 0;
    bool ours = strstr(text, "\r\nServer: libgrace\r\n") != NULL &&
                sscanf(text, "HTTP/1.1 %3d", &status) == 1;
    return ours ? status : -1;
}
