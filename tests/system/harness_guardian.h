/* What stories about the guardian are written with. */
#ifndef GRACE_TESTS_HARNESS_GUARDIAN_H
#define GRACE_TESTS_HARNESS_GUARDIAN_H

#include "harness.h"

/* The pid of the guardian that watches over a process, once it is at its post; 0: there is none. */
pid_t guardian_of(const struct process *target);
pid_t wait_guardian(struct process *target);

/* The guardian that is a child of a process, `grace run` for instance, once there is one. */
pid_t guardian_below(pid_t parent);

/* Kill a process that the story did not start itself, and wait until nothing of it is left. */
void kill_and_wait(pid_t pid);

/* A hook that says that it began (its name, and the file "began"), waits until the file "go"
 * appears, and says that it is done ("NAME-done"). */
char *hook_that_waits(const char *name, const char *more);

/* A hook that appends the story of the stop, as its environment tells it, to the file "story":
 * "NAME CAUSE SIGNAL STATUS SERVICE_RESULT EXIT_CODE EXIT_STATUS", a dash for what is not there. */
char *hook_that_tells(const char *name, const char *more);

/* Like start(GRACED, …), with another copy of libgrace.so. */
struct process *start_under(const char *library, const char *const *argv);

#endif
