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
 * Begin. What is an accepted connection, grace_drain_is_accepted tells. From then on what the
 * target loads is looked after, too. Returns whether it has begun; false when that is not known
 * within a second, because a thread of the target holds the loader's locks (it may begin yet), or
 * when there is no memory or thread to be had: then the target's calls are as before.
 *
 * In normal context, one thread at a time, as grace_answers_undo. Starts a thread.
 */
bool grace_answers_begin(void);

/* Take it back: no further answer is edited, what was held back goes out, and the target's calls
 * are its own again. Takes a second at most. */
void grace_answers_undo(void);

/* The thread that it has started, in this process; 0: none. Async-signal-safe. */
int32_t grace_answers_thread(void);

/*
 * Around a fork: none takes place while that thread asks the loader, whose locks a child would have
 * for ever. Waits a second at most. Async-signal-safe; no system call where nobody waits.
 */
void grace_answers_before_fork(void);
void grace_answers_after_fork(bool is_child);

/* Whether TLS may be loaded here, of any kind. The first question has that thread find out; until
 * it has, and where there is no such thread, it may. Async-signal-safe. */
bool grace_answers_may_be_tls(void);

/* When the target last sent something on an accepted connection, in milliseconds of
 * CLOCK_MONOTONIC; 0: not since the drain began, or not seen. Async-signal-safe; keeps errno. */
uint64_t grace_answers_sent_ms(int fd);

#endif
