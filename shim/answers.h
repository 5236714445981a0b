/*
 * HTTP/1.x answers that close their connection: during a drain each answer that the target begins
 * on an accepted connection says "Connection: close", so that a client that keeps its connection
 * leaves after the answer that it is waiting for. How: late/answers.c.
 */
#ifndef GRACE_SHIM_ANSWERS_H
#define GRACE_SHIM_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Begin, or, when begun already, see to what the target has loaded since (cheap when that is
 * nothing). What is an accepted connection, grace_drain_is_accepted tells. False: nothing could be
 * redirected, and the target's calls are as before.
 *
 * In normal context, one thread at a time. Waits for the loader's locks, which a thread of the
 * target holds while it runs a library's constructor: call it where a wait is bounded.
 */
bool grace_answers_begin(void);

/* Take it back: no further answer is edited, one whose head is half out is finished as begun, and
 * the target's calls are its own again. As grace_answers_begin otherwise. */
void grace_answers_undo(void);

/* When the target last sent something on an accepted connection, in milliseconds of
 * CLOCK_MONOTONIC; 0: not since the drain began, or not seen. Async-signal-safe; keeps errno. */
uint64_t grace_answers_sent_ms(int fd);

#endif
