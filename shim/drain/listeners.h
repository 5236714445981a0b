/* The target's listening sockets, and how they close to new connections. See listeners.c. Conductor
 * only. */
#ifndef GRACE_SHIM_DRAIN_LISTENERS_H
#define GRACE_SHIM_DRAIN_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

struct grace_listeners_count {
    unsigned private_ones, shared;
    unsigned silent;  /* closed to new connections by now */
    unsigned waiting; /* connections in backlogs that nobody else will accept, as far as known */
};

/* Find them, and remember their addresses. False: there is none. */
bool grace_listeners_find(void);

/* Go on with closing them; to be called again until it returns true: all are silent. Threads that
 * have to be woken get the signal `signo`. */
bool grace_listeners_close(uint64_t now_us, int signo);

struct grace_listeners_count grace_listeners_count(void);

/* They stay as they are; only their addresses are known. */
void grace_listeners_forget(void);

/* The drain is over: forget the originals. */
void grace_listeners_release(void);

/* Put the originals back, listening. */
void grace_listeners_put_back(void);

#endif
