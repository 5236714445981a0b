/* What every test program shares: its main function, and a way to say that a test cannot run here.
 */
#ifndef GRACE_TESTS_SUITE_H
#define GRACE_TESTS_SUITE_H

#include <check.h>
#include <stdbool.h>

/* Each test file defines this; suite.c has main(). */
Suite *suite(void);

/*
 * End the running test as skipped, with the reason. Only for what the machine lacks and the test
 * cannot install; a skip shows in the closing line of `make check`.
 */
void skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Whether an emulator runs what is tested: EMULATOR in the environment is its name. */
bool emulated(void);

/* Skip the running test there; "qemu-aarch64 7.2 …": what it does not do. */
void not_emulated(const char *why);

/* Whether the kernel tells how a process ended also when it was reaped (PIDFD_GET_INFO,
 * Linux 6.15). An emulator does not ask it. */
bool endings_are_kept(void);

/* Skip it where a thread goes on from a handler with the variables, errno first, of the one that
 * was started last: qemu-i386 7.2 loads %gs from a table that all threads share. */
void not_where_threads_mix(void);

#endif
