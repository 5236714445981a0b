/* Names of signals as hooks see them: "TERM", "KILL", "RTMIN+3". All async-signal-safe. */
#ifndef GRACE_HOOKS_SIGNAL_NAME_H
#define GRACE_HOOKS_SIGNAL_NAME_H

#include <stddef.h>

/* Room for any name. */
#define GRACE_SIGNAL_NAME_MAX 16

/* The name without SIG, written to `buffer`: what systemd writes. "" for 0, the number for what has
 * no name. Returns buffer. */
const char *grace_signal_name(int signo, char buffer[GRACE_SIGNAL_NAME_MAX]);

/* The number of a name that grace_signal_name writes; 0 for any other text. */
int grace_signal_number(const char *name);

#endif
