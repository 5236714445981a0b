/*
 * Job control between a shell and the target: the target has a process group of its own, which has
 * the terminal when ours had it; where it stops, we stop, so that the shell sees it.
 */
#ifndef GRACE_OPS_INIT_TERMINAL_H
#define GRACE_OPS_INIT_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>

struct grace_terminal {
    int fd;          /* the controlling terminal; -1: there is none */
    bool foreground; /* our group had it at the start */
};

void grace_terminal_open(struct grace_terminal *terminal);

/* In the new process, before its exec: a group of its own, in the foreground. Stop signals of the
 * terminal are blocked. */
void grace_terminal_enter(const struct grace_terminal *terminal);

/* The target's group stopped: stop, too, with all of our group if it was the terminal that said so.
 * Where nobody could make us go on (PID 1, an orphaned group) the target goes on at once, as the
 * kernel would have had it. */
void grace_terminal_stopped(const struct grace_terminal *terminal, pid_t group, int signo);

/* We were made to go on: so is the target, with the terminal if it was given to us. */
void grace_terminal_resumed(const struct grace_terminal *terminal, pid_t group);

/* The target is gone: the terminal is our group's again. True when it was the target's. */
bool grace_terminal_take_back(const struct grace_terminal *terminal, pid_t group);

/* Send a signal to all of our group but ourselves, where it is blocked. */
void grace_terminal_tell_group(int signo);

#endif
