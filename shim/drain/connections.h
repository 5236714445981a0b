/* The connections that the target has accepted, and which of them have something in flight. See
 * connections.c. Conductor only. */
#ifndef GRACE_SHIM_DRAIN_CONNECTIONS_H
#define GRACE_SHIM_DRAIN_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct grace_connections_count {
    unsigned busy, idle; /* that are there */
    unsigned finished;   /* that are gone since the first look */
};

/* Begin anew. False: out of memory. */
bool grace_connections_begin(void);

/*
 * Look at all of them. One on which nothing was sent for `idle_us` and nothing is in flight is
 * idle; with `close_idle` it is half-closed: the target reads as if its client had left. With
 * `unknown_is_idle` also one of which it cannot be known: a TCP connection that was quiet for
 * `unknown_us`, a Unix one whatever it was. Before that, what may be a request inside TLS behind
 * session tickets is one until it was quiet for `tickets_us`.
 */
struct grace_connections_look {
    uint64_t idle_us, unknown_us, tickets_us;
    bool close_idle, unknown_is_idle;
};
struct grace_connections_count grace_connections_look(const struct grace_connections_look *how);

/* Whether a few of those that were there at the last look are there no more, all of them: a cheap
 * question, asked between two looks. */
bool grace_connections_seem_gone(void);

void grace_connections_end(void);

#endif
