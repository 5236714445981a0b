/* Signals by name, as a config has them and as hooks and the log see them. */
#ifndef GRACE_CONFIG_SIGNALS_H
#define GRACE_CONFIG_SIGNALS_H

/* Room for any name. */
#define GRACE_SIGNAL_NAME_MAX 16

/*
 * The name of a signal without SIG, written to `buffer`: "TERM", "RTMIN+3", as systemd spells
 * them; the number for one of libc's own; "" for anything that is no signal. Returns buffer.
 * Async-signal-safe.
 */
const char *grace_signal_name(int signo, char buffer[GRACE_SIGNAL_NAME_MAX]);

/*
 * The number of a signal: "TERM", "SIGTERM", in any case; "RTMIN", "RTMIN+3", "RTMAX-1" for those
 * that libc leaves to programs. 0 for anything else, numbers included.
 */
int grace_signal_find(const char *name);

/* Why the signal cannot be a stop signal, in words; NULL when it can. */
const char *grace_signal_no_stop(int signo);

/* Why a target cannot be given the signal in place of another one; NULL when it can. */
const char *grace_signal_no_delivery(int signo);

#endif
