/*
 * The plan: what the user asked for, after the config file has been read and checked.
 *
 * A plan is plain data in memory of its own, which is read-only once the plan is made: it may be
 * read from any thread and from a signal handler without a lock. Nothing in it refers to libconfig.
 */
#ifndef GRACE_CONFIG_PLAN_H
#define GRACE_CONFIG_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/* The parts of a stop, in the order in which they happen. */
enum grace_phase {
    GRACE_PHASE_ANNOUNCE,
    GRACE_PHASE_DRAIN,
    GRACE_PHASE_STOP,
    GRACE_PHASE_CLEANUP,
    GRACE_PHASES
};

/* Why the owner is ending. */
enum grace_cause {
    GRACE_CAUSE_NONE, /* it is not ending */
    GRACE_CAUSE_SIGNAL,
    GRACE_CAUSE_EXIT,
    GRACE_CAUSE_RETURN,
    GRACE_CAUSE__EXIT,
    GRACE_CAUSE_QUICK_EXIT,
    GRACE_CAUSE_CRASH,
    GRACE_CAUSE_KILLED,
    GRACE_CAUSES
};

/* The bit of one cause in a set of causes (grace_hook_plan.causes). */
#define GRACE_CAUSE_BIT(cause) (1u << (unsigned)(cause))

/* The bit of one signal in a set of signals; signo is 1 to 64. */
#define GRACE_SIGNAL_BIT(signo) (UINT64_C(1) << ((unsigned)(signo)-1u))

enum grace_switch { GRACE_AUTO, GRACE_ON, GRACE_OFF };
enum grace_second_signal { GRACE_SECOND_FORCE, GRACE_SECOND_IGNORE };
enum grace_end { GRACE_END_SAME, GRACE_END_EXIT, GRACE_END_STATUS };
enum grace_log_sink { GRACE_LOG_STDERR, GRACE_LOG_FILE, GRACE_LOG_SYSLOG, GRACE_LOG_JOURNAL };
enum grace_log_level { GRACE_LOG_ERROR, GRACE_LOG_WARNING, GRACE_LOG_INFO, GRACE_LOG_DEBUG };
enum grace_log_format { GRACE_LOG_TEXT, GRACE_LOG_JSON };
enum grace_drain_when { GRACE_DRAIN_AUTO, GRACE_DRAIN_ALWAYS, GRACE_DRAIN_NEVER };

enum grace_option_type {
    GRACE_OPTION_STRING,
    GRACE_OPTION_INT,
    GRACE_OPTION_FLOAT,
    GRACE_OPTION_BOOL,
    GRACE_OPTION_LIST /* of strings, ended by NULL */
};

/* One entry of a hook's `options = { … };` */
struct grace_option_plan {
    const char *name;
    enum grace_option_type type;
    union {
        const char *string;
        int64_t integer;
        double real;
        bool boolean;
        const char *const *list;
    } value;
    unsigned line; /* in the config file, for messages */
};

struct grace_hook_plan {
    const char *name;
    enum grace_phase phase;
    const char *const *command; /* argument vector ended by NULL; NULL when it is a plugin */
    const char *plugin;         /* "redis", or a path with a slash in it; NULL for a command */
    const struct grace_option_plan *options;
    size_t option_count;
    uint32_t timeout_ms;
    uint32_t retries;      /* tries after the first that failed */
    bool abort_on_failure; /* on_failure = "abort": a failure skips to the end */
    const char *user;      /* run as this user; NULL: as the target */
    uint32_t causes;       /* set of GRACE_CAUSE_BIT */
    const char *file;      /* where it stands: the config file or one that it includes */
    unsigned line;
};

struct grace_log_plan {
    enum grace_log_sink sink;
    const char *path; /* for GRACE_LOG_FILE, else NULL */
    enum grace_log_level level;
    enum grace_log_format format;
};

struct grace_drain_plan {
    enum grace_drain_when when;
    uint32_t hold_ms;
    uint32_t timeout_ms;
    uint32_t idle_ms;
    bool http;
};

struct grace_plan {
    const char *file; /* the config file's absolute path; NULL: built-in defaults, no file */
    const char *name; /* the same as it was given, for messages; NULL for built-in defaults */
    uint32_t deadline_ms;
    uint64_t signals; /* set of GRACE_SIGNAL_BIT: those that stop a target without a handler */
    uint64_t chain; /* … and those of them that are a stop even where the target has a handler */
    bool enforce;
    uint8_t deliver[65]; /* deliver[signo]: what the target receives instead; 0: the same */
    enum grace_second_signal second_signal;
    enum grace_end end;
    int end_status;              /* for GRACE_END_STATUS, 0 to 255 */
    const char *const *programs; /* ended by NULL; NULL: any program */
    enum grace_switch guardian;
    bool daemonize; /* follow daemons ("auto"), or never */
    const char *pidfile;
    const char *state_dir;
    const char *metrics;
    struct grace_log_plan log;
    struct grace_drain_plan drain;

    const struct grace_hook_plan *hooks; /* in the order of the file */
    size_t hook_count;
    const uint16_t *order; /* hook_count indices into hooks: the order in which they run */
};

/* The most hooks that one config may have. */
#define GRACE_HOOKS_MAX 16384

/*
 * Read a config file into a new plan. What is wrong is added to `problems`, all of it, not only the
 * first. Returns NULL when the plan cannot be used (a GRACE_FATAL problem was added). The caller
 * frees the plan. A relative path of a command or plugin becomes an absolute one, from the config
 * file's folder. Allocates; never exits, never prints, never waits (a FIFO or device is refused),
 * leaves no descriptor open, keeps errno and the locale. Thread-safe; not for signal handlers.
 */
struct grace_plan *grace_plan_read(const char *path, struct grace_problems *problems);

/*
 * The same from text in memory; `name` stands for the file in messages and in the plan, and
 * relative paths start from the working directory. For tests and tools.
 */
struct grace_plan *grace_plan_parse(const char *text, size_t length, const char *name,
                                    struct grace_problems *problems);

/* The plan that holds the built-in defaults and no hook: constant, never NULL. */
const struct grace_plan *grace_plan_default(void);

/* The longest that one hook, and all of one phase (draining included), may take, in milliseconds.
 */
uint64_t grace_hook_longest_ms(const struct grace_hook_plan *hook);
uint64_t grace_phase_longest_ms(const struct grace_plan *plan, enum grace_phase phase);

/*
 * Warnings that need no other knowledge than the plan: phases that add up to more than the
 * deadline. Part of `grace check`, not of a start.
 */
void grace_plan_review(const struct grace_plan *plan, struct grace_problems *problems);

/* Free a plan and all that it points to. NULL and the built-in plan are allowed. */
void grace_plan_free(const struct grace_plan *plan);

/*
 * The config file for a program, in the order of DESIGN.md section 10: $GRACE_CONFIG (as given),
 * /etc/grace/<program>.conf, /etc/grace/grace.conf. `given` is the variable's value or NULL.
 * Writes the path and returns 1; returns 0 when there is none, -ENAMETOOLONG when it does not fit.
 * A file that $GRACE_CONFIG names is returned whether or not it exists: its absence is an error
 * that the reader reports. `program` is a base name.
 */
int grace_plan_find(const char *given, const char *program, char *path, size_t size);

/* Names as they stand in the config, the log and the environment of hooks. Async-signal-safe. */
const char *grace_phase_name(enum grace_phase phase); /* "announce" … */
const char *grace_cause_name(enum grace_cause cause); /* "signal", "exit", "_exit" … */

#endif
