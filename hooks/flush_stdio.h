/* Writing out what a program still holds in stdio's buffers, without ever waiting for a lock. */
#ifndef GRACE_HOOKS_FLUSH_STDIO_H
#define GRACE_HOOKS_FLUSH_STDIO_H

#include <stdbool.h>

struct grace_flushed {
    unsigned flushed; /* streams that held output, and no longer do */
    unsigned skipped; /* streams whose lock another thread holds: theirs may be lost */
    unsigned failed;  /* streams whose descriptor did not take it all */
    bool list_busy;   /* the list of streams was locked by another thread; the rest stays unknown */
};

/*
 * Flush the output of each open FILE whose lock is free at this moment. Input is left as it is:
 * read-ahead of a seekable input stream is given back by exit() only, and an end by signal never
 * did so.
 *
 * A write may block: where the reader of a pipe does not read, as long as the target's own flush
 * would have; so it is called on a thread that can be abandoned. Not async-signal-safe (it takes
 * FILE locks, by trying). A FILE that another thread closes at this very moment is protected by the
 * list's lock, which is tried, not waited for.
 */
void grace_flush_stdio(struct grace_flushed *result);

#endif
