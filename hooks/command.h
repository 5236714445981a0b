/*
 * Running one command: no shell, a process group of its own, bounded in time, its output in the log.
 *
 * A stop may have to be led from inside a signal handler, over a thread that holds malloc's lock.
 * So everything that allocates, looks up or resolves is done once, in grace_command_prepare; what runs
 * during a stop (grace_command_run, grace_command_run_aside) is async-signal-safe.
 */
#ifndef GRACE_HOOKS_COMMAND_H
#define GRACE_HOOKS_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "grace_hook.h"

/* How long after TERM a command that passed its timeout gets KILL. */
#define GRACE_COMMAND_KILL_AFTER_MS 250

/* One command, ready to run. Owned by whoever prepared it; constant from then on. */
struct grace_command {
    const char *hook;        /* name of the hook, for the lines of its output in the log */
    const char *path;        /* the executable; NULL: it was not found, running it fails */
    const char *const *argv; /* ended by NULL */
    bool switch_user;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
};

/*
 * Find the executable (argv[0] with a slash as it is, else in PATH of `environment`, or in the usual
 * /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin without one) and look up the
 * user. Returns 0, or -1 with the error set: the command is then still safe to run, and fails.
 * Allocates; not async-signal-safe. The strings given must stay valid.
 */
int grace_command_prepare(struct grace_command *command, const char *hook,
                          const char *const *argv, const char *user,
                          char *const *environment, struct grace_error *error);
void grace_command_release(struct grace_command *command);

enum grace_outcome {
    GRACE_OUTCOME_DONE,      /* exit status 0 */
    GRACE_OUTCOME_STATUS,    /* another exit status: detail */
    GRACE_OUTCOME_SIGNAL,    /* killed by a signal: detail */
    GRACE_OUTCOME_TIMEOUT,   /* did not end in time and was killed */
    GRACE_OUTCOME_NOT_STARTED, /* errno: detail */
    GRACE_OUTCOME_ERROR,     /* a plugin's run() returned an error: see its text */
    GRACE_OUTCOME_ENDED,     /* a plugin called exit(), _exit() or the like: detail is its status */
    GRACE_OUTCOME_SKIPPED    /* was not tried */
};

struct grace_command_result {
    enum grace_outcome outcome;
    int detail;
    uint64_t duration_us;
    uint64_t output_cut; /* bytes of output above the limit, not logged */
};

/*
 * Run it and wait, `timeout_ms` at most: then TERM to its process group, and KILL
 * GRACE_COMMAND_KILL_AFTER_MS later. The child gets /dev/null as input, a pipe as output and error (each
 * line goes to the log at level info with the hook's name; above 64 KiB the rest is read, dropped
 * and counted), no other descriptor, default signals, nothing blocked, the
 * caller's working directory, and `envp` as its environment. It is over when the command itself
 * ended: processes that it left behind are neither waited for nor killed.
 * Async-signal-safe. The caller must be able to wait for its own children.
 */
void grace_command_run(const struct grace_command *command, char *const *envp, uint32_t timeout_ms,
                       struct grace_command_result *result);

/*
 * The same from within a process that must not see a child of ours: no SIGCHLD, nothing for its
 * own wait() to find, no descriptor opened in it. An intermediate process that shares its memory
 * does the work. The calling thread waits; others go on. Async-signal-safe.
 */
void grace_command_run_aside(const struct grace_command *command, char *const *envp,
                             uint32_t timeout_ms, struct grace_command_result *result);

/*
 * The environment of a hook's command: `base` without LD_PRELOAD entries that name libgrace, plus GRACE_*
 * and systemd's names (SERVICE_RESULT, EXIT_CODE, EXIT_STATUS), as systemd.exec(5) spells their
 * values. Fills `storage` with pointers and strings; drops base variables when it is full, never
 * its own. Returns the envp within storage. Async-signal-safe.
 */
struct grace_environment {
    _Alignas(void *) char storage[64 * 1024];
};
char *const *grace_environment_fill(struct grace_environment *environment, char *const *base,
                                    const struct grace_stop *stop);

#endif
