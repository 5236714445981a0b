/* Draining: what the drain offers the rest of the shim. How it works: drain/phase.c. */
#ifndef GRACE_SHIM_DRAIN_H
#define GRACE_SHIM_DRAIN_H

#include "shim.h"

/* ---- the phase (drain/phase.c) ------------------------------------------------------------- */

struct grace_drain_how {
    int signo;            /* one that libgrace handles, to interrupt threads with */
    uint64_t until_ms;    /* CLOCK_MONOTONIC: the deadline, whatever the config's timeout says */
    bool (*is_off)(void); /* whether it is to end at once */
    bool (*is_wanted_back)(void); /* whether the stop is to be taken back; NULL: it cannot be */
    bool connections_only;        /* listeners stay as they are, and nothing is said */
    bool goes_on;                 /* the target's own handler comes after it: its threads run on */
    struct grace_ledger *ledger;  /* which shows how far it is; NULL: nobody looks */
};

enum grace_drain_end {
    GRACE_DRAIN_ENDED,     /* all is finished, or was cut; or there was nothing */
    GRACE_DRAIN_TAKEN_BACK /* the listeners are what they were before */
};

/*
 * Hold, close the listeners, wait for what is in flight. Once for each stop of a process: later
 * calls return at once. On a thread in normal context; no signal of the target's may run on it.
 */
enum grace_drain_end grace_drain(const struct grace_drain_how *how);

/* A forked child has none behind it, whatever its parent had. Async-signal-safe. */
void grace_drain_forget(void);

/* Whether this process, or its parent before the fork, drains or has drained. Async-signal-safe. */
bool grace_drain_has_begun(void);

/* Whether this process has a listener or a connection that a drain would be for, and none was yet.
 * Some system calls for each descriptor; async-signal-safe. */
bool grace_drain_has_work(void);

/* Note what listens already, and have forked children know that they are. Constructor only. */
void grace_drain_setup(void);

/* ---- forked workers (drain/worker.c) ------------------------------------------------------- */

/*
 * A signal arrived in a forked process: true when its connections are drained first, or are
 * already; then a thread of ours has it killed by that signal, or, where a drain comes before a
 * handler, sends it again for the handler of its own. Async-signal-safe.
 */
bool grace_drain_worker_first(int signo, const siginfo_t *info, const ucontext_t *context,
                              const struct grace_disposition *disposition);

/* Whether a process is a fork of this program that began while its forebear drained. Conductor
 * only. */
bool grace_drain_worker_born_late(int pid);

/* A signal came that is only the drain's. */
void grace_drain_worker_woke(int signo, const siginfo_t *info, const ucontext_t *context);

/* A process that is not the owner ends by a call of its own. Does not return where it has to end by
 * its signal. `status` -1: exit has run all else. */
void grace_drain_worker_ends(enum grace_cause cause, int status);

/* As grace_stop_retry. */
bool grace_drain_worker_retry(const siginfo_t *info, const ucontext_t *context);

/* ---- questions of the target's own threads; async-signal-safe, keep errno ------------------ */

/*
 * Whether a descriptor is a connection that was accepted here: a stream socket with the local
 * address of one of our listeners. Known from the start of the drain on; false before. One or
 * two system calls; async-signal-safe, thread-safe, keeps errno.
 */
bool grace_drain_is_accepted(int fd);

/* The target is about to send an HTTP/1.x answer as it is on an accepted connection: whatever comes
 * to its port is not inside TLS. */
void grace_drain_saw_plain(int fd);

/* Whether a signal is only the drain's, to interrupt a thread; and sending one to the calling
 * thread, or to a process that is a fork of this one, which then drains its connections. */
bool grace_drain_woke(const siginfo_t *info);
void grace_drain_wake_self(int signo);
void grace_drain_wake_process(int pid, int signo);

/* Not zero once listeners close: then the three below are to be called, around an accept. */
extern _Atomic uint32_t grace_accept_guard;

/* Before the call: whether it is to fail with ECONNABORTED, since it would wait for ever on behalf
 * of a thread that came here from poll or its kin and has others to serve. */
bool grace_accept_refuses(int fd);

/* After it failed: whether it failed because of the drain, and is to be made again. */
bool grace_accept_again(int fd);

/* After it succeeded: the new connection hears its client (drain/newcomers.c). */
void grace_accept_returned(int fd);

/* The calling thread's poll, select or epoll_wait has returned. */
extern __thread bool grace_accept_after_poll __attribute__((tls_model("initial-exec")));
static inline int grace_polled(int ready)
{
    if (__builtin_expect(atomic_load_explicit(&grace_accept_guard, memory_order_relaxed) != 0, 0) &&
        ready > 0)
        grace_accept_after_poll = true;
    return ready;
}

/* GRACE_WAIT and GRACE_WAIT_LIMITED (resume.h) for these calls. */
#define GRACE_POLL(call) grace_polled(GRACE_WAIT(call))
#define GRACE_POLL_LIMITED(start, first, again)                                                    \
    grace_polled(GRACE_WAIT_LIMITED(start, first, again))

#endif
