/* Writing out what a program still holds in stdio's buffers, without waiting for a busy stream. */
#ifndef GRACE_HOOKS_FLUSH_STDIO_H
#define GRACE_HOOKS_FLUSH_STDIO_H

#include <stdint.h>

struct grace_flushed {
    unsigned flushed; /* streams that held output, and no longer do */
    unsigned skipped; /* … whose lock another thread holds: what they hold is left */
    unsigned stuck;   /* … whose pipe, socket or terminal took nothing in time */
    unsigned failed;  /* … that could not be written */
};

/*
 * Flush the output of each open FILE whose lock is free for a moment within the next busy_ms, and
 * whose descriptor takes output within patience_ms (all together). Input is left as it
 * is: read-ahead of a seekable input stream is given back by exit() only, and an end by a signal
 * never did so.
 *
 * Three things can make it wait longer than that, so call it on a thread that can be abandoned:
 * another thread that is inside fflush(NULL) holds the lock of libc's list of streams (stdout and
 * stderr are written before that lock is waited for); a buffer is larger than what a pipe has left;
 * a stream's cookie functions block. Not async-signal-safe.
 */
void grace_flush_stdio(uint32_t busy_ms, uint32_t patience_ms, struct grace_flushed *result);

/* busy_ms where nobody asked for a flush: at the end of every stop. */
#define GRACE_FLUSH_BUSY_MS 200

#endif
