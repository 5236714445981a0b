/* What others put in front of a program: the inits of containers, and a shell. */
#include "bench.h"

#include <unistd.h>

const struct peer peers[] = {
    {"tini", {"/usr/bin/tini", "--", NULL}, true},
    {"dumb-init", {"/usr/bin/dumb-init", "--", NULL}, true},
    {"catatonit", {"/usr/bin/catatonit", "--", NULL}, true},
    {"sh -c", {"/bin/sh", "-c", "\"$0\"; exit $?", NULL}, false}, /* two commands: it stays */
};
const size_t peer_count = COUNT_OF(peers);

struct series peer_series(const struct peer *peer, double (*once)(struct series *),
                          const void *subject)
{
    bool there = access(peer->before[0], X_OK) == 0;
    return (struct series){.name = peer->name,
                           .once = once,
                           .subject = subject,
                           .missing = there ? NULL : words("not installed: %s", peer->before[0])};
}
