/*
 * libconfig, kept from doing harm.
 *
 * libconfig's objects are linked into our own (see libconfig.o in the Makefile), and what they
 * would take from libc is replaced by functions of ours (config/libconfig.renames, and
 * libconfig_stand_in.c and libconfig_include.c, which define them):
 *
 * - exit() and the line on stderr, which its scanner (flex) uses for fatal errors, and every
 *   allocation that fails: they jump back (siglongjmp) to grace_libconfig_parse, which adds a
 *   problem. libconfig itself checks no allocation.
 * - malloc and its kin: what libconfig takes lies in the arena of its input, and goes with that,
 *   after a jump too. The target's heap is as it would be without us.
 * - stdio: an included file is read by grace_input_read, looked at by grace_scan, and handed to the
 *   scanner from memory. No FILE is ever opened, and nothing is ever printed.
 *
 * The thread's locale, which libconfig 1.5 replaces by the global one, is put back. The state of a
 * parse is found through a thread-local pointer, so that several threads may parse at once.
 */
#ifndef GRACE_CONFIG_LIBCONFIG_GUARD_H
#define GRACE_CONFIG_LIBCONFIG_GUARD_H

#include <libconfig.h>
#include <stdbool.h>

#include "input.h"
#include "problem.h"

/* The most @include lines that are followed in one config. */
#define GRACE_INCLUDES_MAX 64

/*
 * Parse `input` and call `visit` with the tree, which lives until visit returns. `name` stands for
 * the file in messages; what it includes is looked for in `folder` unless its path is absolute.
 * Returns true when visit ran to its end; false: a problem was added. Frees nothing of input.
 */
bool grace_libconfig_parse(const struct grace_input *input, const char *name, const char *folder,
                           struct grace_problems *problems,
                           void (*visit)(const config_setting_t *root, void *context),
                           void *context);

/* The file in which a setting stands, for messages. For `visit` only; valid until it returns. */
const char *grace_libconfig_file(const config_setting_t *setting);

/* Leave `visit`: grace_libconfig_parse adds the reason as a fatal problem and returns false. */
_Noreturn void grace_libconfig_give_up(const char *reason);

#endif
