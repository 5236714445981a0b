/* Connections: TCP, Unix, and TLS over them. */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One address of the loopback network has ports for so many connections to one server. */
#define PER_SOURCE 20000

static SSL_CTX *context(void)
{
    static SSL_CTX *made;
    if (made == NULL) {
        made = SSL_CTX_new(TLS_client_method());
        if (made == NULL)
            abort();
        SSL_CTX_set_verify(made, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_options(made, SSL_OP_IGNORE_UNEXPECTED_EOF);
    }
    return made;
}

static void come_from(int fd, int source)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr =
                                      htonl(INADDR_LOOPBACK + 1 + (uint32_t)source / PER_SOURCE)};
    if (options.target.ss_family != AF_INET || source < PER_SOURCE)
        return;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        abort();
}

int link_open(struct link *link, int source)
{
    link->fd = socket(options.target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    link->secured = !options.tls;
    if (link->fd < 0)
        return -1;
    come_from(link->fd, source);
    if (connect(link->fd, (struct sockaddr *)&options.target, options.target_length) != 0 &&
        errno != EINPROGRESS)
        return -1;
    if (options.tls) {
        link->tls = SSL_new(context());
        if (link->tls == NULL || SSL_set_fd(link->tls, link->fd) != 1)
            abort();
    }
    return 0;
}

/* The result of a call of OpenSSL's, as read's and write's. */
static int tls_result(struct link *link, int returned)
{
    if (returned > 0)
        return returned;
    int error = SSL_get_error(link->tls, returned), number = errno;
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN
            : error == SSL_ERROR_SYSCALL && number != 0                   ? number
                                                                          : EPROTO;
    return -1;
}

int link_secure(struct link *link)
{
    if (link->secured)
        return 1;
    errno = 0;
    int done = tls_result(link, SSL_connect(link->tls));
    link->secured = done > 0;
    return done > 0 ? 1 : done < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t link_read(struct link *link, void *bytes, size_t size)
{
    errno = 0;
    return link->tls != NULL ? tls_result(link, SSL_read(link->tls, bytes, (int)size))
                             : recv(link->fd, bytes, size, 0);
}

ssize_t link_write(struct link *link, const void *bytes, size_t size)
{
    errno = 0;
    return link->tls != NULL ? tls_result(link, SSL_write(link->tls, bytes, (int)size))
                             : send(link->fd, bytes, size, MSG_NOSIGNAL);
}

/* After the end, the kernel still knows whether that was a reset: the socket is then closed on our
 * side too, though we never closed it. */
bool link_was_reset(const struct link *link)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        return false;
    return info.tcpi_state == TCP_CLOSE;
}

bool link_has_ended(const struct link *link)
{
    char byte;
    return recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

int link_port(const struct link *link)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    if (getsockname(link->fd, (struct sockaddr *)&own, &length) != 0)
        return 0;
    return own.ss_family == AF_INET    ? ntohs(((struct sockaddr_in *)&own)->sin_port)
           : own.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&own)->sin6_port)
                                       : 0;
}

void link_close(struct link *link)
{
    if (link->tls != NULL)
        SSL_free(link->tls);
    if (link->fd >= 0)
        close(link->fd);
    *link = (struct link){.fd = -1};
}
