/* Between a story and its program: who starts it as a supervisor does, and tells all it hears. */
#ifndef GRACE_TESTS_HARNESS_OVERSEER_H
#define GRACE_TESTS_HARNESS_OVERSEER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * A process whose only child is the program: it has a handler for SIGCHLD and waits for any child,
 * threads' and clones' among them. It is no subreaper: orphans come to the story.
 */
struct overseer;

/* Start one, and by it the program, which `become` turns its child into. Returns after both were.
 */
struct overseer *overseer_start(void (*become)(const void *data), const void *data);

/* The program's pid, not reaped before overseer_go(). */
pid_t overseer_child(const struct overseer *overseer);
void overseer_go(struct overseer *overseer);

/* The program's raw wait status; -1: it has not been waited for. */
int overseer_status(const struct overseer *overseer);

/* Until it has heard this. */
void overseer_await(const struct overseer *overseer, const char *words);

/* End it. Returns what it heard: a line for each SIGCHLD, with its siginfo, and for each child that
 * was waited for; then whether any is left. */
const char *overseer_end(struct overseer *overseer);

#endif
