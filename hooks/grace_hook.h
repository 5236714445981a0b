/*
 * grace_hook.h: what a libgrace hook plugin is.
 *
 * A plugin is a shared object that exports one constant, `grace_hook`. This header is all that its
 * author needs: C11 or C++11, nothing to link with. A whole plugin:
 *
 *     #include <grace_hook.h>
 *
 *     static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
 *     {
 *         (void)state;
 *         return save_everything(grace_stop_remaining_ms(stop)) == 0
 *                    ? 0 : grace_error_set(error, "cannot save: disk full");
 *     }
 *
 *     GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
 *         GRACE_HOOK_ABI, sizeof grace_hook, GRACE_HOOK_IN_PROCESS, 0,
 *         "save", "saves everything", NULL, run, NULL,
 *     };
 *
 * Its life: dlopen (RTLD_NOW | RTLD_LOCAL), configure once, run when the target stops (again after
 * a failure when the config says `retries`), release. A plugin is never unloaded.
 *
 * Where it runs. An IN_PROCESS hook runs inside the target, on a thread of its own with every
 * signal blocked, while the target's other threads may still be running: take no lock of the
 * target's that you do not know to be free. It runs at most once per stop, and not at all when the
 * target was killed. Any other hook is EXTERNAL: it runs in a process of its own beside the target,
 * so that its libraries never enter the target, and exactly once however the target ends.
 *
 * Its limits. The config's timeout is enforced from outside: past it, an in-process hook is
 * abandoned (its thread goes on, nobody waits for it) and an external one is killed. A crash,
 * abort(), exit(), _exit() or a C++ exception that leaves run() fails this hook and nothing else.
 */
#ifndef GRACE_HOOK_H
#define GRACE_HOOK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows only when an old plugin could no longer work. New members go to the end of each struct,
 * and `size` tells either side how much of it the other one knows. */
#define GRACE_HOOK_ABI 1u

/* Flags of struct grace_hook. */
#define GRACE_HOOK_EXTERNAL   0u
#define GRACE_HOOK_IN_PROCESS 1u /* needs the target's memory */
#define GRACE_HOOK_SERVES     2u /* exports grace_hook_server too; not with IN_PROCESS */
/* External, and about the living target: when it has not run by the time at which a target that
 * does not end is killed, it runs just before that, whatever its phase. */
#define GRACE_HOOK_BEFORE_KILL 4u

/* A message for a person: what happened, with what, and what to do. Always ended by a zero byte. */
struct grace_error {
    uint32_t size; /* of this struct */
    char text[508];
};

/* Set the message as printf does. Returns -1, so that a failing function can end with it. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline int
grace_error_set(struct grace_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return -1;
}

/*
 * The `options = { … };` of the hook in the config. Ask through the functions below, in configure()
 * only. An option that configure() did not ask for is reported to the user as unknown, and one of
 * another type than asked for as wrong: a plugin need not check for either.
 */
struct grace_options {
    uint32_t size;
    uint32_t reserved;
    void *context;
    const char *(*string)(void *context, const char *name, const char *fallback);
    int64_t (*integer)(void *context, const char *name, int64_t fallback);
    double (*real)(void *context, const char *name, double fallback);
    int (*boolean)(void *context, const char *name, int fallback);
    int64_t (*duration_ms)(void *context, const char *name, int64_t fallback);
    const char *const *(*list)(void *context, const char *name);
    int (*given)(void *context, const char *name);
};

/* Each returns the option's value, or `fallback` when the config does not give it. Strings and
 * lists belong to libgrace and stay valid as long as the process lives. */
static inline const char *grace_option_string(const struct grace_options *options, const char *name,
                                              const char *fallback)
{
    return options->string(options->context, name, fallback);
}

static inline int64_t grace_option_int(const struct grace_options *options, const char *name,
                                       int64_t fallback)
{
    return options->integer(options->context, name, fallback);
}

/* Accepts whole numbers too. */
static inline double grace_option_float(const struct grace_options *options, const char *name,
                                        double fallback)
{
    return options->real(options->context, name, fallback);
}

static inline int grace_option_bool(const struct grace_options *options, const char *name,
                                    int fallback)
{
    return options->boolean(options->context, name, fallback);
}

/* A duration with its unit, as "1m30s" or "250ms"; in milliseconds. */
static inline int64_t grace_option_duration_ms(const struct grace_options *options,
                                               const char *name, int64_t fallback)
{
    return options->duration_ms(options->context, name, fallback);
}

/* A list of strings ended by NULL; one string counts as a list of one. NULL when not given. */
static inline const char *const *grace_option_list(const struct grace_options *options,
                                                   const char *name)
{
    return options->list(options->context, name);
}

/* 1 when the config gives the option, whatever its value, else 0. */
static inline int grace_option_given(const struct grace_options *options, const char *name)
{
    return options->given(options->context, name);
}

/* Levels of grace_stop_log. */
#define GRACE_HOOK_ERROR   0
#define GRACE_HOOK_WARNING 1
#define GRACE_HOOK_INFO    2
#define GRACE_HOOK_DEBUG   3

/* The stop that the hook is part of. Valid until run() returns. */
struct grace_stop {
    uint32_t size;
    uint32_t reserved;
    const char *program; /* the target's name, as in its log lines */
    const char *hook;    /* this hook's name in the config */
    const char *phase;   /* "announce", "drain", "stop", "cleanup" */
    const char *cause;   /* "signal", "exit", "return", "_exit", "quick_exit", "crash", "killed" */
    int32_t pid;         /* the target's */
    int32_t signo;       /* the signal that caused the stop; 0: none */
    int32_t exit_status; /* what the target ends or ended with; -1: not known, or a signal */
    int32_t sender_pid;  /* who sent the signal; 0: not known */
    int32_t sender_uid;  /* -1: not known */
    int32_t attempt;     /* 1, or more after retries */
    void *context;
    int64_t (*remaining_ms)(void *context);
    void (*log)(void *context, int level, const char *text);
    int32_t core_dumped; /* 1 when the target left a core dump */
    int32_t gone;        /* 1 when the target has ended: its pid may be another process's by now */

    /* What follows is there where `size` says so: GRACE_STOP_HAS(stop, log_file). */
    const char *log_file; /* the file that libgrace logs to; NULL: it logs elsewhere */
    int64_t duration_ms;  /* since the stop began */
    uint32_t hooks_done;  /* of this stop, so far */
    uint32_t hooks_failed;
    uint32_t hooks_skipped;        /* not run: no time left, cut short, or aborted */
    uint32_t connections_finished; /* that the drain saw to their end */
    uint32_t connections_cut;      /* that were in flight when it ended */
    uint32_t reserved2;
};

/* Whether the libgrace that runs the plugin knows a member of struct grace_stop. */
#define GRACE_STOP_HAS(stop, member)                                                               \
    ((stop)->size >= offsetof(struct grace_stop, member) + sizeof((stop)->member))

/* Milliseconds until this hook's timeout or the stop's deadline, whichever is first; never below 0.
 */
static inline int64_t grace_stop_remaining_ms(const struct grace_stop *stop)
{
    return stop->remaining_ms(stop->context);
}

/* One line for libgrace's log, under the hook's name. `text` is taken as it is, not as a format. */
static inline void grace_stop_log(const struct grace_stop *stop, int level, const char *text)
{
    stop->log(stop->context, level, text);
}

struct grace_hook {
    uint32_t abi;  /* GRACE_HOOK_ABI */
    uint32_t size; /* sizeof(struct grace_hook) */
    /* GRACE_HOOK_EXTERNAL, GRACE_HOOK_IN_PROCESS or GRACE_HOOK_SERVES. Must be a constant: it is
     * read from the file before the plugin is loaded, so that an external plugin never enters the
     * target. */
    uint32_t flags;
    uint32_t reserved;   /* 0 */
    const char *name;    /* "redis" */
    const char *summary; /* one line: what it does */

    /*
     * Read the options and get ready; called once, before the target's main() for an in-process
     * hook. May allocate into *state, which is handed to run() and release(). Returns 0, or -1 with
     * the error set: the hook is then left out, and the user is told. NULL: no options.
     */
    int (*configure)(const struct grace_options *options, void **state, struct grace_error *error);

    /* Do the work. Returns 0, or -1 with the error set. Must not be NULL. */
    int (*run)(void *state, const struct grace_stop *stop, struct grace_error *error);

    /* Give back what configure() took. Called after an external hook's last run and by `grace
     * check`; never inside the target. NULL: nothing to give back. */
    void (*release)(void *state);
};

/*
 * What a hook that has work to do before the stop exports beside grace_hook, and says so by
 * GRACE_HOOK_SERVES: answering on a port, for instance.
 */
struct grace_service {
    uint32_t size;
    /* Readable once the hook's turn has come in a stop, just before run() is called elsewhere; at
     * its end (read() returns 0) when all is over and serve() is to return. Has nothing else to
     * tell, and may be read away. */
    int32_t stop_fd;
    void *context;
    void (*started)(void *context);
    void (*log)(void *context, int level, const char *text);
};

/* To be called once serve() has what it needs: until then a failure is told on the target's stderr
 * where that is the log, and from then on stderr is let go of. */
static inline void grace_service_started(const struct grace_service *service)
{
    service->started(service->context);
}

/* One line for libgrace's log. */
static inline void grace_service_log(const struct grace_service *service, int level,
                                     const char *text)
{
    service->log(service->context, level, text);
}

struct grace_hook_server {
    uint32_t size; /* sizeof(struct grace_hook_server) */
    uint32_t reserved;

    /*
     * Runs from the target's start to the end of its stop, after configure(), in a process of its
     * own that the guardian started: where there is none (`guardian = "off"`, or the target is PID
     * 1), nothing serves. run() runs in yet another process as ever. Stop signals are ignored in
     * it. Returns 0, or -1 with the error set, which goes to the log and has no other consequence;
     * returning early is allowed.
     */
    int (*serve)(void *state, const struct grace_service *service, struct grace_error *error);
};

#if defined(__cplusplus)
#define GRACE_HOOK_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define GRACE_HOOK_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
}
#endif

#endif
