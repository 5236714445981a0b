/*
 * What is known of each accepted connection while answers are edited, by descriptor. The table is
 * made when that begins; a descriptor beyond it is left alone.
 */
#ifndef GRACE_SHIM_LATE_CONNECTION_H
#define GRACE_SHIM_LATE_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "answer.h"

struct grace_connection {
    _Atomic uint32_t owner;     /* the thread that is sending on it; 0: none */
    _Atomic uint64_t owned_for; /* the connection that it was taken for */
    _Atomic uint64_t cookie;    /* the kernel's name for the connection; 0: none yet */
    _Atomic uint64_t sent_ms;   /* when something was last sent on it */
    uint32_t round;             /* the count of beginnings when this was written */
    bool is_accepted;
    bool knows_received; /* `received` holds */
    uint64_t received;   /* bytes from the client, as of the last time that something was sent */
    struct grace_answer answer;
};

/* Make the table, or begin anew with it. False: no memory. */
bool grace_late_connections_begin(void);

/* From now on only connections are handed out on which something of ours is still to be sent. True
 * when there is none: what the kernel takes at once is sent here. */
bool grace_late_connections_end(void);

/*
 * The accepted connection of a descriptor, for the calling thread alone, until it gives it back;
 * waits for a thread that has it. NULL: what is sent there passes as it is. That is so for every
 * other descriptor, and in a signal handler over a call that has the connection. `now_only`: the
 * call does not wait, whatever the descriptor is set to; *busy is set where it would have to.
 * Async-signal-safe; keeps errno.
 */
struct grace_connection *grace_connection_take(int fd, bool now_only, bool *busy);
void grace_connection_give_back(struct grace_connection *connection);

/* The target is about to send, beginning with a byte; before the plan is made. And the plan is
 * made: before it is sent. And something was sent. */
void grace_connection_look(struct grace_connection *connection, int fd, char first);
void grace_connection_before(struct grace_connection *connection, int fd,
                             const struct grace_answer *after);
void grace_connection_sent(struct grace_connection *connection);

/* Whether the client of a connection has sent something after the last that was sent to it.
 * Async-signal-safe; keeps errno. */
enum grace_answer_fresh grace_connection_fresh(int fd);

#endif
