/*
 * Running one command: no shell, a process group of its own, bounded in time, its output in the
 * log.
 *
 * A stop may have to be led from inside a signal handler, over a thread that holds malloc's lock.
 * So everything that allocates, looks up or resolves is done once, in grace_command_prepare; what
 * runs during a stop (grace_command_run, grace_command_run_aside) is async-signal-safe.
 */
#ifndef GRACE_HOOKS_COMMAND_H
#define GRACE_HOOKS_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "grace_hook.h"

/*
 * A command that takes too long gets TERM, and KILL this much later; KILL comes early enough for
 * the whole to end within the hook's timeout. Where the timeout is shorter than twice this, TERM
 * comes at its half.
 */
#define GRACE_COMMAND_KILL_AFTER_MS 250

/* One command, ready to run. Owned by whoever prepared it; constant from then on. */
struct grace_command {
    const char *hook;        /* name of the hook, for the lines of its output in the log */
    const char *path;        /* the executable; NULL: running it fails, with `error` */
    int error;               /* a positive errno: why path is NULL */
    const char *const *argv; /* ended by NULL */
    bool switch_user;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
};

/*
 * Find the executable (argv[0] with a slash as it is, else in PATH of `environment`, or in the
 * usual /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin without one) and look up the
 * user. Returns 0, or -1 with the error set: the command is then still safe to run, and fails.
 * Allocates; not async-signal-safe. The strings given must stay valid.
 */
int grace_command_prepare(struct grace_command *command, const char *hook, const char *const *argv,
                          const char *user, char *const *environment, struct grace_error *error);
void grace_command_release(struct grace_command *command);

enum grace_outcome {
    GRACE_OUTCOME_DONE,        /* exit status 0 */
    GRACE_OUTCOME_STATUS,      /* another exit status: detail */
    GRACE_OUTCOME_SIGNAL,      /* killed by a signal: detail */
    GRACE_OUTCOME_TIMEOUT,     /* did not end in time and was killed */
    GRACE_OUTCOME_NOT_STARTED, /* errno: detail */
    GRACE_OUTCOME_ERROR,       /* a plugin's run() returned an error: see its text */
    GRACE_OUTCOME_ENDED,  /* a plugin called exit(), _exit() or the like: detail is its status */
    GRACE_OUTCOME_SKIPPED /* was not tried */
};

struct grace_command_result {
    enum grace_outcome outcome;
    int detail;
    uint64_t duration_us;
    uint64_t output_cut; /* bytes of output above the limit, not logged */
};

/*
 * Run it and wait, `timeout_ms` at most, within which a command that does not end gets TERM and
 * then KILL, with its whole process group. The child gets /dev/null as input, a pipe as output and
 * error (each line goes to the log at level info with the hook's name; above 1,000 lines or 64 KiB
 * the rest is read, dropped and counted), no other descriptor, default signals, nothing blocked,
 * the caller's working directory, and `envp` as its environment. It is over when the command itself
 * ended: processes that it left behind are neither waited for nor killed, and find their output
 * closed. Async-signal-safe and thread-safe. The caller must be able to wait for its own children:
 * where it ignores SIGCHLD, how the command ended is not known, and counts as GRACE_OUTCOME_STATUS
 * with detail -1. On kernels without pidfd (before 5.3) the end is seen up to 20 ms late. A command
 * that was killed and is not gone when the time is over (a busy machine) is left to the caller's
 * wait.
 */
void grace_command_run(const struct grace_command *command, char *const *envp, uint32_t timeout_ms,
                       struct grace_command_result *result);

/*
 * The same from within a process that must not see a child of ours: no SIGCHLD, nothing for its
 * own wait() to find (only one that asks for __WALL or __WCLONE would), no descriptor opened in it.
 * An intermediate process that shares its memory does the work; it goes on when the target dies
 * meanwhile. The calling thread waits, others go on. Async-signal-safe and thread-safe; needs
 * little stack of the caller's.
 */
void grace_command_run_aside(const struct grace_command *command, char *const *envp,
                             uint32_t timeout_ms, struct grace_command_result *result);

/*
 * The environment of a hook's command: `base` without LD_PRELOAD entries that name libgrace, plus
 *
 *     GRACE_PID GRACE_PROGRAM GRACE_HOOK GRACE_PHASE GRACE_CAUSE GRACE_ATTEMPT GRACE_REMAINING_MS
 *     GRACE_SIGNAL            "TERM" …; empty: no signal
 *     GRACE_EXIT_STATUS       a number; empty: not known, or a signal
 *     GRACE_SENDER_PID, GRACE_SENDER_UID   who sent the signal; empty: not known
 *     GRACE_GONE              1: the target has ended; 0: not yet
 *     GRACE_DURATION_MS       since the stop began
 *     GRACE_HOOKS_DONE GRACE_HOOKS_FAILED GRACE_HOOKS_SKIPPED           so far
 *     GRACE_CONNECTIONS_FINISHED GRACE_CONNECTIONS_CUT                  by the drain
 *     SERVICE_RESULT, EXIT_CODE, EXIT_STATUS   as systemd.exec(5) spells them; absent while neither
 *                             a signal nor an exit status is known
 *
 * Fills `storage` with pointers and strings; drops base variables when it is full, never its own
 * (values longer than 1,000 bytes are cut). The strings of `base` are pointed to, not copied.
 * Returns the envp within storage. Async-signal-safe.
 */
struct grace_environment {
    _Alignas(void *) char storage[64 * 1024];
};
char *const *grace_environment_fill(struct grace_environment *environment, char *const *base,
                                    const struct grace_stop *stop);

#endif
