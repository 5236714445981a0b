#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

static int refuse(struct grace_redis_place *place, const char *why, struct grace_error *error)
{
    free(place->text);
    place->text = NULL;
    return grace_error_set(error,
                           "option \"url\": %s; expected redis://[USER@]HOST[:PORT][/DATABASE], "
                           "rediss://… for TLS, or unix:/PATH",
                           why);
}

static bool is_number(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
    }
    return true;
}

/* HOST[:PORT], where HOST may be [an IPv6 address]. */
static const char *parse_host(struct grace_redis_place *place, char *host)
{
    char *port;
    if (*host == '[') {
        char *close = strchr(host, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return "a bracket is not closed";
        *close = '\0';
        place->host = host + 1;
        port = close[1] == ':' ? close + 2 : NULL;
    } else {
        place->host = host;
        port = strchr(host, ':');
        if (port != NULL)
            *port++ = '\0';
    }
    place->port = port != NULL ? port : "6379";
    if (*place->host == '\0')
        return "it names no host";
    if (!is_number(place->port) || strlen(place->port) > 5 || atoi(place->port) > 65535)
        return "its port is no number from 1 to 65535";
    return NULL;
}

/* [USER@]HOST[:PORT][/DATABASE] */
static const char *parse_authority(struct grace_redis_place *place, char *text)
{
    char *at = strrchr(text, '@');
    if (at != NULL) {
        *at = '\0';
        if (strchr(text, ':') != NULL)
            return "it has a password in it, whose place is the file that `password_file` names";
        if (*text != '\0')
            place->user = text;
        text = at + 1;
    }
    char *slash = strchr(text, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (slash[1] != '\0')
            place->database = slash + 1;
        if (place->database != NULL && !is_number(place->database))
            return "its database is no number";
    }
    return parse_host(place, text);
}

int grace_redis_parse_url(struct grace_redis_place *place, const char *url,
                          struct grace_error *error)
{
    place->text = strdup(url);
    if (place->text == NULL)
        return grace_error_set(error, "out of memory");
    const char *wrong;
    if (strncmp(url, "unix:/", 6) == 0) {
        place->path = place->text + 5 + strspn(url + 6, "/");
        wrong = place->path[1] == '\0' ? "it names no socket" : NULL;
    } else if (strncmp(url, "redis://", 8) == 0) {
        wrong = parse_authority(place, place->text + 8);
    } else if (strncmp(url, "rediss://", 9) == 0) {
        place->tls = true;
        wrong = parse_authority(place, place->text + 9);
    } else {
        wrong = "it is of another kind";
    }
    return wrong != NULL ? refuse(place, wrong, error) : 0;
}
