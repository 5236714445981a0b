/* What every test program shares: its main function, and a way to say that a test cannot run here.
 */
#ifndef GRACE_TESTS_SUITE_H
#define GRACE_TESTS_SUITE_H

#include <check.h>

/* Each test file defines this; suite.c has main(). */
Suite *suite(void);

/*
 * End the running test as skipped, with the reason. Only for what the machine lacks and the test
 * cannot install; a skip shows in the closing line of `make check`.
 */
void skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Skip the running test where each child's end raises SIGCHLD, so that a hook's process in a target
 * without a guardian can be seen: NO_UNTOLD_CHILDREN in the environment says why. */
void needs_untold_children(void);

#endif
