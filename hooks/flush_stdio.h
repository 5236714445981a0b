/* Writing out what a program still holds in stdio's buffers, without waiting for anybody's lock. */
#ifndef GRACE_HOOKS_FLUSH_STDIO_H
#define GRACE_HOOKS_FLUSH_STDIO_H

#include <stdbool.h>
#include <stdint.h>

struct grace_flushed {
    unsigned flushed; /* streams that held output, and no longer do */
    unsigned skipped; /* … whose lock another thread holds: what they hold is left */
    unsigned stuck;   /* … whose pipe, socket or terminal took nothing in time */
    unsigned failed;  /* … that could not be written */
    bool list_busy;   /* another thread holds libc's list of streams: only stdout and stderr were
                         looked at */
};

/*
 * Find out where libc keeps the lock of its list of streams, so that grace_flush_stdio can see
 * whether it is free. libc tells nobody, so the lock is taken and looked for among libc's
 * variables: call it at start, while nobody holds it for long. Costs some 20 µs. Returns whether it
 * was found. Not async-signal-safe.
 */
bool grace_flush_stdio_prepare(void);

/*
 * Flush the output of each open FILE whose lock is free at this moment, and whose descriptor takes
 * output within patience_ms (all together). Input is left as it is: read-ahead of a seekable input
 * stream is given back by exit() only, and an end by a signal never did so.
 *
 * A FILE that another thread closes meanwhile is safe: the list's lock is held until its own lock
 * is ours. Without grace_flush_stdio_prepare this waits for the list's lock, for as long as another
 * thread is in fflush(NULL). A buffer larger than what a pipe has left still blocks, and so does a
 * stream whose cookie functions do: call it on a thread that can be abandoned. Not
 * async-signal-safe.
 */
void grace_flush_stdio(uint32_t patience_ms, struct grace_flushed *result);

#endif
