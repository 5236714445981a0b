/* Signals by name, as a config has them. */
#ifndef GRACE_CONFIG_SIGNALS_H
#define GRACE_CONFIG_SIGNALS_H

#include <stddef.h>

/*
 * The number of a signal: "TERM", "SIGTERM", in any case; "RTMIN", "RTMIN+3", "RTMAX-1" for those
 * that libc leaves to programs. 0 for anything else, numbers included.
 */
int grace_signal_find(const char *name);

/* Its name without SIG ("TERM", "RTMIN+3"), in `buffer`, which is returned. */
const char *grace_signal_show(int signo, char *buffer, size_t size);

/* Why the signal cannot be a stop signal, in words; NULL when it can. */
const char *grace_signal_no_stop(int signo);

/* Why a target cannot be given the signal in place of another one; NULL when it can. */
const char *grace_signal_no_delivery(int signo);

#endif
