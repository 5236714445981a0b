#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct grace_redis_link {
    int fd;
    int64_t until_ms;
    bool local;
    char name[300]; /* of the server, for messages */
    SSL_CTX *context;
    SSL *tls;
    redisReader *reader;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t grace_redis_left_ms(const struct grace_redis_link *link)
{
    int64_t left = link->until_ms - now_ms();
    return left > 0 ? left : 0;
}

bool grace_redis_is_local(const struct grace_redis_link *link)
{
    return link->local;
}

/* True when the descriptor is ready in time. */
static bool wait_for(const struct grace_redis_link *link, short events)
{
    struct pollfd entry = {.fd = link->fd, .events = events};
    for (;;) {
        int64_t left = grace_redis_left_ms(link);
        int ready = poll(&entry, 1, left < 3600000 ? (int)left : 3600000);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* ---- connecting ----------------------------------------------------------------------------- */

static int try_address(struct grace_redis_link *link, const struct sockaddr *address,
                       socklen_t length)
{
    int failed = 0;
    socklen_t size = sizeof failed;
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return errno;
    if (connect(link->fd, address, length) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EAGAIN)
        failed = errno;
    else if (!wait_for(link, POLLOUT))
        failed = ETIMEDOUT;
    else
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed != 0) {
        close(link->fd);
        link->fd = -1;
    }
    return failed;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >>
                24) == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static int connect_tcp(struct grace_redis_link *link, const struct grace_redis_place *place,
                       struct grace_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int wrong = getaddrinfo(place->host, place->port, &hints, &found);
    if (wrong != 0)
        return grace_error_set(error, "cannot find redis at %s: %s", link->name,
                               gai_strerror(wrong));
    int failed = EHOSTUNREACH;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        failed = try_address(link, at->ai_addr, at->ai_addrlen);
        if (failed == 0) {
            link->local = is_loopback(at->ai_addr);
            break;
        }
    }
    freeaddrinfo(found);
    return failed == 0 ? 0
                       : grace_error_set(error, "cannot connect to redis at %s: %s", link->name,
                                         strerror(failed));
}

static int connect_unix(struct grace_redis_link *link, const char *path, struct grace_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return grace_error_set(error, "option \"url\": the socket's path is too long");
    strcpy(address.sun_path, path);
    link->local = true;
    int failed = try_address(link, (const struct sockaddr *)&address, sizeof address);
    return failed == 0 ? 0
                       : grace_error_set(error, "cannot connect to redis at %s: %s", link->name,
                                         strerror(failed));
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static int tls_error(const struct grace_redis_link *link, const char *what,
                     struct grace_error *error)
{
    long verified = link->tls != NULL ? SSL_get_verify_result(link->tls) : X509_V_OK;
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    if (verified != X509_V_OK)
        why = X509_verify_cert_error_string(verified);
    return grace_error_set(error, "%s (redis at %s): %s", what, link->name,
                           why != NULL ? why : "the connection was closed");
}

static int set_certificates(struct grace_redis_link *link, const struct grace_redis_place *place,
                            struct grace_error *error)
{
    SSL_CTX *context = link->context;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (place->ca != NULL ? SSL_CTX_load_verify_locations(context, place->ca, NULL) != 1
                          : SSL_CTX_set_default_verify_paths(context) != 1)
        return tls_error(link, "ca: the certificates cannot be read", error);
    if (place->cert == NULL)
        return 0;
    const char *key = place->key != NULL ? place->key : place->cert;
    if (SSL_CTX_use_certificate_chain_file(context, place->cert) != 1)
        return tls_error(link, "cert: it cannot be read", error);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return tls_error(link, "key: it cannot be read, or is not the certificate's", error);
    return 0;
}

/* What is waited for after an operation that did not come to its end; false: it never will. */
static bool tls_wait(const struct grace_redis_link *link, int result)
{
    int wanted = SSL_get_error(link->tls, result);
    if (wanted == SSL_ERROR_WANT_READ)
        return wait_for(link, POLLIN);
    return wanted == SSL_ERROR_WANT_WRITE && wait_for(link, POLLOUT);
}

/* The server must be who the URL says. */
static int expect_host(SSL *tls, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host);
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

static int start_tls(struct grace_redis_link *link, const struct grace_redis_place *place,
                     struct grace_error *error)
{
    link->context = SSL_CTX_new(TLS_client_method());
    if (link->context == NULL)
        return tls_error(link, "TLS cannot be set up", error);
    if (set_certificates(link, place, error) != 0)
        return -1;
    link->tls = SSL_new(link->context);
    if (link->tls == NULL || SSL_set_fd(link->tls, link->fd) != 1 ||
        expect_host(link->tls, place->host) != 1)
        return tls_error(link, "TLS cannot be set up", error);
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(link->tls);
        if (result == 1)
            return 0;
        if (!tls_wait(link, result))
            return tls_error(link, "no TLS", error);
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static bool send_all(const struct grace_redis_link *link, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent;
        if (link->tls != NULL) {
            ERR_clear_error();
            sent = SSL_write(link->tls, bytes, length < (1 << 20) ? (int)length : 1 << 20);
            if (sent <= 0 && !tls_wait(link, (int)sent))
                return false;
        } else {
            sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
            if (sent < 0 && errno != EINTR && (errno != EAGAIN || !wait_for(link, POLLOUT)))
                return false;
        }
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        }
    }
    return true;
}

/* Returns the bytes read, or 0 when none will come. */
static size_t receive(const struct grace_redis_link *link, char *buffer, size_t size)
{
    for (;;) {
        ssize_t count;
        if (link->tls != NULL) {
            ERR_clear_error();
            count = SSL_read(link->tls, buffer, (int)size);
            if (count <= 0 && !tls_wait(link, (int)count))
                return 0;
        } else {
            count = recv(link->fd, buffer, size, 0);
            if (count == 0 ||
                (count < 0 && errno != EINTR && (errno != EAGAIN || !wait_for(link, POLLIN))))
                return 0;
        }
        if (count > 0)
            return (size_t)count;
    }
}

/* ---- commands ------------------------------------------------------------------------------- */

static redisReply *lost(const struct grace_redis_link *link, const char *command,
                        struct grace_error *error)
{
    grace_error_set(error, "redis at %s %s to %.40s", link->name,
                    grace_redis_left_ms(link) == 0 ? "gave no answer in time"
                                                   : "closed the connection instead of an answer",
                    command);
    return NULL;
}

redisReply *grace_redis_call(struct grace_redis_link *link, const char *const *words,
                             struct grace_error *error)
{
    char buffer[16384], *command = NULL;
    int count = 0;
    while (words[count] != NULL)
        count++;
    int length = redisFormatCommandArgv(&command, count, (const char **)(uintptr_t)words, NULL);
    if (length < 0) {
        grace_error_set(error, "out of memory");
        return NULL;
    }
    bool sent = send_all(link, command, (size_t)length);
    explicit_bzero(command, (size_t)length);
    redisFreeCommand(command);
    if (!sent)
        return lost(link, words[0], error);
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            grace_error_set(error, "what is at %s does not speak as redis does: %s", link->name,
                            link->reader->errstr);
            return NULL;
        }
        if (reply != NULL)
            return reply;
        size_t received = receive(link, buffer, sizeof buffer);
        if (received == 0)
            return lost(link, words[0], error);
        redisReaderFeed(link->reader, buffer, received);
    }
}

struct grace_redis_link *grace_redis_open(const struct grace_redis_place *place,
                                          int64_t patience_ms, struct grace_error *error)
{
    struct grace_redis_link *link = calloc(1, sizeof *link);
    if (link == NULL || (link->reader = redisReaderCreate()) == NULL) {
        free(link);
        grace_error_set(error, "out of memory");
        return NULL;
    }
    link->fd = -1;
    link->until_ms = now_ms() + patience_ms;
    if (place->path != NULL)
        snprintf(link->name, sizeof link->name, "%s", place->path);
    else
        snprintf(link->name, sizeof link->name, "%s:%s", place->host, place->port);
    int failed = place->path != NULL ? connect_unix(link, place->path, error)
                                     : connect_tcp(link, place, error);
    if (failed == 0 && place->tls)
        failed = start_tls(link, place, error);
    if (failed == 0)
        return link;
    grace_redis_close(link);
    return NULL;
}

void grace_redis_close(struct grace_redis_link *link)
{
    if (link == NULL)
        return;
    SSL_free(link->tls);
    SSL_CTX_free(link->context);
    if (link->fd >= 0)
        close(link->fd);
    redisReaderFree(link->reader);
    free(link);
}
