/*
 * A connection to Redis, plain, over TLS or a Unix socket, on which nothing waits beyond a moment
 * that is set at its beginning. hiredis writes the commands and reads the replies; the bytes in
 * between are ours: the versions of hiredis that are around differ in what they know of TLS.
 */
#ifndef GRACE_HOOKS_REDIS_LINK_H
#define GRACE_HOOKS_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "hooks/grace_hook.h"

/* Where a server is and how to get in. Strings that are not given are NULL. */
struct grace_redis_place {
    char *text; /* what host and path point into; to be freed */
    const char *host, *port;
    const char *path;     /* of a Unix socket, instead of host and port */
    const char *user;     /* NULL: Redis' own default user */
    const char *database; /* a number */
    bool tls;
    const char *ca, *cert, *key;
};

/*
 * Take a URL apart: redis://[USER@]HOST[:PORT][/DATABASE], rediss://… for TLS, or unix:/PATH.
 * Returns 0, or -1 with the error set: a password in it is one.
 */
int grace_redis_parse_url(struct grace_redis_place *place, const char *url,
                          struct grace_error *error);

struct grace_redis_link;

/* Connect within `patience_ms`, which bounds all that is done on the link. Returns NULL with the
 * error set. */
struct grace_redis_link *grace_redis_open(const struct grace_redis_place *place,
                                          int64_t patience_ms, struct grace_error *error);
void grace_redis_close(struct grace_redis_link *link);

/* Whether the server runs on this machine, so that its folders can be looked at. */
bool grace_redis_is_local(const struct grace_redis_link *link);

/* Milliseconds that are left. */
int64_t grace_redis_left_ms(const struct grace_redis_link *link);

/*
 * Send a command, words ended by NULL, and wait for its reply, to be freed by freeReplyObject. A
 * reply that is an error is a reply. Returns NULL with the error set: the connection is of no use
 * any more. Only the command's first word is in the error.
 */
redisReply *grace_redis_call(struct grace_redis_link *link, const char *const *words,
                             struct grace_error *error);

#define GRACE_REDIS_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
