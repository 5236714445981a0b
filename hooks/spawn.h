/* Starting and running a command: what command_run.c and aside.c share. */
#ifndef GRACE_HOOKS_SPAWN_H
#define GRACE_HOOKS_SPAWN_H

#include <stdint.h>

#include "command.h"

/*
 * Start the command in a process group of its own, its output into the descriptor `output`. Returns
 * its pid, a child of the caller that the caller reaps, after which it calls grace_spawn_end; or a
 * negative errno. *running holds the pid from before the command is executed. Async-signal-safe.
 */
struct grace_spawned; /* what the new process has to tell */
long grace_spawn(const struct grace_command *command, char *const *envp, int output,
                 _Atomic int32_t *running, struct grace_spawned **spawned);

/* Whether what has ended was the command: 0, or a positive errno: it could not be executed. Frees
 * `spawned`. Async-signal-safe. */
int grace_spawn_end(struct grace_spawned *spawned);

/*
 * grace_command_run, with the pid that the log shows as the program's. *running holds the command's
 * pid while it runs.
 */
void grace_command_run_for(const struct grace_command *command, char *const *envp,
                           uint32_t timeout_ms, int program_pid, _Atomic int32_t *running,
                           struct grace_command_result *result);

#endif
