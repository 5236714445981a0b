#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const char *text, struct grace_error *error)
{
    return grace_error_set(error,
                           "option \"listen\" is \"%.100s\"; expected an address and a port as "
                           "\"127.0.0.1:8081\", \"[::1]:8081\" or \"*:8081\", or \"unix:/PATH\"",
                           text);
}

static int parse_unix(struct grace_ready_address *address, const char *path,
                      struct grace_error *error)
{
    if (path[0] != '/' || strlen(path) >= sizeof address->socket.local.sun_path)
        return refuse(address->text, error);
    address->socket.local.sun_family = AF_UNIX;
    strcpy(address->socket.local.sun_path, path);
    address->length = sizeof address->socket.local;
    return 0;
}

/* 1 to 65535; 0: it is none. */
static in_port_t parse_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port <= 65535 ? (in_port_t)port : 0;
}

static int set_ipv4(struct grace_ready_address *address, const char *host, in_port_t port)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address->socket.storage;
    if (inet_pton(AF_INET, host, &ipv4->sin_addr) != 1)
        return -1;
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(port);
    address->length = sizeof *ipv4;
    return 0;
}

static int set_ipv6(struct grace_ready_address *address, const char *host, in_port_t port)
{
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address->socket.storage;
    if (inet_pton(AF_INET6, host, &ipv6->sin6_addr) != 1)
        return -1;
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(port);
    address->length = sizeof *ipv6;
    return 0;
}

int grace_ready_parse_address(struct grace_ready_address *address, const char *text,
                              struct grace_error *error)
{
    char host[64];
    *address = (struct grace_ready_address){.text = text};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(address, text + 5, error);
    const char *colon = strrchr(text, ':');
    in_port_t port = colon != NULL ? parse_port(colon + 1) : 0;
    size_t length = colon != NULL ? (size_t)(colon - text) : sizeof host;
    if (port == 0 || length >= sizeof host)
        return refuse(text, error);
    memcpy(host, text, length);
    host[length] = '\0';
    address->everywhere = strcmp(host, "*") == 0;
    int failed;
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        failed = set_ipv6(address, host + 1, port);
    } else if (address->everywhere) {
        failed = set_ipv6(address, "::", port);
    } else {
        failed = set_ipv4(address, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port);
    }
    return failed == 0 ? 0 : refuse(text, error);
}
