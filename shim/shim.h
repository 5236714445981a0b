/*
 * libgrace.so from within: the state that its parts share, and what each part offers the others.
 *
 *   preload.c      the constructor: becomes the owner, or stays out of the way
 *   children.c     forked children, and handing ownership over to one
 *   owed.c         the ledger of what is owed, and whether a guardian is wanted
 *   guardian.c     starting the guardian, and asking it to run external hooks
 *   environment.c  LD_PRELOAD out of the target's sight, and back for an exec of the owner
 *   dispositions.c the signals' dispositions, as the target sees them and as the kernel holds them
 *   slots.c        what the kernel calls in place of the target's handlers
 *   arrival.c      what happens when a managed signal arrives
 *   resume.c       waiting on after a signal that the target does not see
 *   descriptors.c  signalfd: a signal is read after its announcement
 *   kept.c         signals that wait for the announcement, and `deliver`
 *   safepoint.c    whether an interrupted thread holds none of libc's locks
 *   frames.c       signal frames on the calling thread's own stack
 *   again.c        looking again in a moment, where it is no safe point
 *   putoff.c       handlers that wait for one, since libc takes its locks once we have a thread
 *   launch.c       starting the conductor out of a signal handler, at a safe point
 *   stop.c         one stop: who leads it, who waits, when it is over
 *   announce.c     announcing before the target's own handler
 *   conductor.c    leading: phases, hooks, deadline, log
 *   count.c        one more stop in the metrics file, where no guardian counts
 *   worker.c       threads for in-process hooks, and what a hook may do to them
 *   drain.h        the phase drain, in drain/
 *   answers.h      HTTP/1.x answers that say they are the last, in late/
 *   redirect.c     redirecting calls late, at the start of a drain
 *   ending.c       the signal's own action at the end, end = "exit" and end = N
 *   calls/         the interposed calls, thin doors to the above
 */
#ifndef GRACE_SHIM_SHIM_H
#define GRACE_SHIM_SHIM_H

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "config/plan.h"
#include "hooks/hook.h"
#include "hooks/ledger.h"
#include "slots.h"

/* Set once by the constructor, before the target's main(); constant from then on. */
struct grace_shim {
    _Atomic int32_t process; /* pid of the one that was loaded into; 0: libgrace does nothing */
    const struct grace_plan *plan;
    struct grace_loaded_hook *hooks; /* in the order of plan->hooks */
    struct grace_ledger *ledger;
    const char *ledger_path;  /* its file, with state_dir; else NULL */
    char *const *environment; /* what hooks' commands start from */
    const char *program;      /* the target's name */
    const char *library;      /* path of libgrace.so */
    const char *command;      /* path of the grace command; NULL: not found */
    const char *stack_end;    /* above it there is nothing of the main thread's stack */
};

extern struct grace_shim grace_shim;

/*
 * Whether this process is the one whose end triggers the hooks. Asks the kernel each time: a forked
 * child has all of our memory, and a vfork child even shares it. Async-signal-safe; changes errno
 * never.
 */
bool grace_is_owner(void);

/*
 * Whether fork has made this process from the one that libgrace was loaded into, or from a child of
 * it: then it has our memory for itself, and a child of vfork or posix_spawn has not. Makes system
 * calls; async-signal-safe.
 */
bool grace_is_forked(void);

/* Keeps errno over a block: { GRACE_KEEP_ERRNO; … } */
static inline void grace_errno_restore(const int *saved)
{
    errno = *saved;
}
#define GRACE_KEEP_ERRNO                                                                           \
    __attribute__((cleanup(grace_errno_restore), unused)) const int grace_saved_errno = errno

/* ---- owed.c -------------------------------------------------------------------------------- */

/*
 * Make the ledger, or take over the one of guardian `left_by` (0: none) that the program before an
 * exec left, and start a guardian where one is wanted. False: out of memory. Constructor only.
 */
bool grace_owed_prepare(int left_by);

/* ---- children.c ---------------------------------------------------------------------------- */

/* Have forked children write themselves into the ledger. Constructor only. */
void grace_children_setup(void);

/* Before a fork: its order, 0 where nobody is to know of it. And in its child, if that is not 0.
 * Async-signal-safe. */
uint32_t grace_child_order(void);
void grace_child_begins(uint32_t order);

/* A forked child is about to exec or to end: no successor any more. True when it was one; then,
 * after an exec that failed, it returns. False also when it has just become the owner.
 * Async-signal-safe. */
bool grace_child_leaves(void);
void grace_child_returns(void);

/* The owner ends or is stopped, and no stop was under way: if another process takes over, its pid,
 * and this one is the owner no longer; else 0. That is whom the pid file names; with
 * `to_any_child`, for an end with status 0, else a child. Async-signal-safe. */
int grace_owner_hands_over(bool to_any_child);

/* The calling thread enters a function of libc's that forks by itself, and is back from there, in
 * whatever process. */
enum grace_forking { GRACE_FORK /* none of these */, GRACE_FORKPTY, GRACE_DAEMON };
void grace_libc_forks(enum grace_forking call);
void grace_libc_has_forked(bool failed);

/* ---- environment.c ------------------------------------------------------------------------- */

/*
 * Take libgrace's entry out of LD_PRELOAD in an environment, in place. `self` is the name under
 * which it was loaded (the file's path). Not thread-safe: before main() only.
 */
void grace_environment_hide(char **environment, const char *self);

/* Whether LD_PRELOAD names libgrace in an environment: else the loader's own list does
 * (/etc/ld.so.preload), which is for every program. */
bool grace_environment_preloads(char *const *environment, const char *self);

/* The guardian that the program before an exec left to us, by the variable that the exec was given;
 * 0: none. Takes the variable out of the environment. */
#define GRACE_GUARDIAN_VARIABLE "GRACE_GUARDIAN="
int grace_environment_take_guardian(char **environment);

/* Put the entry back, and name the guardian: the environment for an exec by the owner. `vector` has
 * room for the pointers of `environment` plus three, `entry` for GRACE_PRELOAD_MAX bytes. Returns
 * vector, or `environment` itself when there is nothing to put back. Async-signal-safe. */
#define GRACE_PRELOAD_MAX 4096
char *const *grace_environment_restore(char *const *environment, char **vector, char *entry);

/* ---- dispositions.c ------------------------------------------------------------------------ */

/* sigaction(2) as the target means it; `real` is libc's. Async-signal-safe, lock-free. */
typedef int grace_sigaction_function(int, const struct sigaction *, struct sigaction *);
int grace_disposition(int signo, const struct sigaction *action, struct sigaction *old,
                      grace_sigaction_function *real);
grace_sigaction_function *grace_real_sigaction(void);

/* Whether libgrace stands between the target and the kernel for this signal. Any int is allowed. */
bool grace_disposition_managed(int signo);

/* Take the managed signals over, whatever their disposition is now. Constructor only. */
void grace_dispositions_adopt(void);

/* What the target set for a signal, by the slot that the kernel called. */
struct grace_disposition {
    grace_slot_entry *handler; /* NULL: SIG_DFL */
    bool once;                 /* SA_RESETHAND */
};
struct grace_disposition grace_disposition_of_slot(unsigned slot);

/* The target's handler for a managed signal is about to run once: from now on the default. */
void grace_disposition_reset(int signo, unsigned slot);

/* ---- arrival.c ----------------------------------------------------------------------------- */

/* A managed signal arrived through a slot: does what is to be done first, and returns the target's
 * handler if that is to run now, else NULL. Called by the slot's code, in the signal's handler. */
grace_slot_entry *grace_signal_arrived(int signo, siginfo_t *info, void *context, unsigned slot);

/* A stack to call it on, when that on which the kernel put `context` has no room for it, with every
 * signal blocked from then on; NULL: none is needed, or had. To be left again from the old one. */
void *grace_arrival_stack(const ucontext_t *context);
void grace_arrival_leave(void *stack);

/* ---- kept.c -------------------------------------------------------------------------------- */

/* Keep a signal back, and give the target what was kept. All here are async-signal-safe. */
void grace_kept_add(int signo, const siginfo_t *info);
void grace_kept_release(void);

/* The stop is taken back: the target never gets them. */
void grace_kept_discard(void);

/* A signal that was kept back for one thread arrives again: make its siginfo what it was. */
void grace_kept_restore(siginfo_t *info);

/* What the config wants the target to receive for a signal; the same signal by default. */
int grace_signal_delivered_as(int signo);

/* Whether this arrival is the target's as it stands, because nothing replaces the signal or because
 * it is itself what replaces another one. To be asked once for each arrival. */
bool grace_signal_is_final(int signo);

/* Queue a signal, or what replaces it, for the target; `thread` 0: for the process. False when
 * there is no such thread. */
bool grace_signal_send_on(int signo, const siginfo_t *info, pid_t thread);

/* ---- descriptors.c ------------------------------------------------------------------------- */

/* signalfd(2) as the target means it; `real` is libc's. Not for signal handlers, as libc's. */
typedef int grace_signalfd_function(int, const sigset_t *, int);
int grace_signalfd(int fd, const sigset_t *mask, int flags, grace_signalfd_function *real);

/* From now on the descriptors read the signals that they were made for. */
void grace_signalfd_open(void);

/* The target is about to send itself a signal, to one of its threads: where a descriptor would have
 * to read it, announces and opens the descriptors first. */
void grace_signalfd_before_raise(int signo);

/* ---- safepoint.c --------------------------------------------------------------------------- */

/* Learn where the code of libc, ld.so, libgrace and the allocator lies. Constructor only. */
void grace_safepoint_setup(void);

/* Whether the thread that was interrupted at this context holds none of libc's locks. */
bool grace_safepoint_at(const ucontext_t *context);

/* Whether the code at an address, and just before it, is libc's or malloc's. Async-signal-safe. */
bool grace_safepoint_is_libc(uintptr_t address);

/* The same for the calling thread itself: true in normal context; inside signal handlers (found on
 * its stack) true when each of them interrupted it at a safe point. Async-signal-safe. */
bool grace_safepoint_here(void);

/* ---- frames.c ------------------------------------------------------------------------------ */

/* The first signal frame above `sp`, an address on the calling thread's stack: *context is what its
 * handler interrupted, of which only the registers are looked at; NULL when there is none. Returns
 * false when the stack cannot be read. Async-signal-safe. */
bool grace_frame_find(uintptr_t sp, const ucontext_t **context);

/* Whether the interrupted thread has just sent the signal to itself, or lets in one that it sent
 * before: the kernel delivers it as that call returns, and so the call is over when the handler is.
 * Async-signal-safe. */
bool grace_frame_sent_by(const ucontext_t *context, const siginfo_t *info);

/* The handler over this context is about to return, and the target has seen nothing of it: what its
 * frame leaves behind on the stack is not to be taken for one. Async-signal-safe. */
void grace_frame_forget(ucontext_t *context);

/* Where a handler was called that stands at `context` and has not begun: of two signals that come
 * at once the kernel calls the second one's handler first, over the first one's. NULL: it is none.
 * Async-signal-safe. */
const ucontext_t *grace_frame_below(const ucontext_t *context);

/* ---- again.c ------------------------------------------------------------------------------- */

/* A place that is looked at again, by a signal of the same number, for so many milliseconds. All
 * here are async-signal-safe. */
struct grace_again {
    int signo;
    int timer; /* the kernel's id */
    uint64_t limit_ms;
    unsigned looks; /* counted by who looks */
};
void grace_again_begin(struct grace_again *again, int signo, unsigned for_ms);
bool grace_again_is_over(const struct grace_again *again);

/* Have the signal sent in a moment, by a new timer or the one that is there. False: it cannot be
 * had. */
bool grace_again_start(struct grace_again *again);
bool grace_again_arm(const struct grace_again *again);
void grace_again_stop(const struct grace_again *again);

/* Whether this siginfo is of its timer's signal. */
bool grace_again_sent(const struct grace_again *again, const siginfo_t *info);

/* ---- putoff.c ------------------------------------------------------------------------------ */

/* libgrace is about to start a thread in this process. Whether signals may be put off since. */
void grace_putoff_begin(void);
bool grace_putoff_is_on(void);

/*
 * A signal arrived that the target has a handler for, if `has_handler`. True when that is not to
 * run now, because it would meet a lock that it would not without libgrace: it comes again. A
 * signal that has come again gets its own siginfo back. `context` is NULL for a thread in normal
 * context that took it by sigwait or its like. Async-signal-safe.
 */
bool grace_putoff_signal(int signo, siginfo_t *info, const ucontext_t *context, bool has_handler);

/* ---- launch.c ------------------------------------------------------------------------------ */

/* Bytes of thread-local storage that each thread has for what was there at load; set by
 * grace_safepoint_setup, which looks at all of it. */
extern size_t grace_thread_storage;

/* Start a thread of libgrace's own with every signal blocked. Only at a safe point. Returns 0 or
 * errno. */
int grace_thread_start(void *(*function)(void *), void *argument);

/*
 * Starting a thread of libgrace's out of a signal handler: now when the context is a safe point,
 * else when a later look finds one (again.c); when none did, or no thread can be had, `stuck` is
 * called instead, in the handler. Both run on the launch's own stack.
 */
struct grace_launched {
    void *(*conductor)(void *);
    void (*stuck)(void);
    char *stack_end;      /* of a GRACE_LAUNCH_STACK of its own */
    void (*beside)(void); /* what its starter does while it begins; NULL: nothing */
};
struct grace_launch {
    const struct grace_launched *what;
    struct grace_again again;
    _Atomic uint32_t pending; /* 1: the timer is armed; 2: its signal is being looked at */
};
/* Its stack. It ends with a page: what starts a thread fits into one, and the page fault is its
 * largest cost. A name cannot be in parentheses: NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define GRACE_LAUNCH_STACK(name) static _Alignas(4096) char name[64 * 1024] GRACE_ROOM(name)
void grace_launch(struct grace_launch *launch, const struct grace_launched *what, int signo,
                  const ucontext_t *context);

/* Whether this siginfo is the launch's timer's. If so, looks again and returns true. `context` is
 * NULL where the timer's signal was taken in normal context. */
bool grace_launch_retry(struct grace_launch *launch, const siginfo_t *info,
                        const ucontext_t *context);

/* A wrapper is back from a call in which no look finds a safe point: where a launch is looking for
 * one, and here is one, it starts its thread. Async-signal-safe; keeps errno. */
void grace_launch_here(void);

/* For a thread in normal context that does the launch's work itself: true when the launch was still
 * looking for a safe point, and now is over. */
bool grace_launch_take_over(struct grace_launch *launch);

/* ---- stop.c -------------------------------------------------------------------------------- */

/* Nothing is known of a stop. Constructor only. */
void grace_stop_setup(void);

/* What is known of a stop; written by whoever began it, before anyone else reads it. */
struct grace_stop_facts {
    enum grace_cause cause;
    int signo;         /* 0: none */
    int status;        /* exit status; -1: none or not known */
    int sender_pid;    /* 0: not known */
    int sender_uid;    /* -1: not known */
    siginfo_t info;    /* valid when signo is not 0 */
    uint64_t began_ms; /* CLOCK_MONOTONIC */
};

/*
 * The owner is about to end by a call of its own. Runs what has to run; returns when the ending may
 * take its course. Does not return when another ending is already under way.
 */
void grace_stop_by_call(enum grace_cause cause, int status);

/* The same, unless this is not the owner or a stop is under way. */
int grace_stop_hands_over(bool to_any_child);

/* A stop signal without a handler of the target's arrived. Async-signal-safe; returns at once. */
void grace_stop_by_signal(int signo, const siginfo_t *info, const ucontext_t *context);

/* Whether this siginfo comes from libgrace's own timer rather than from a sender; looks after it.
 * `context` is NULL for a thread in normal context that took it by sigwait or its like. */
bool grace_stop_retry(const siginfo_t *info, const ucontext_t *context);

/* For announce.c. Whether a stop was begun and not taken back; that a chain signal came first,
 * which is the cause of whatever ending follows; the announce hooks; the drain, false when the stop
 * was taken back; and that the signal came again while its first arrival is kept back. */
bool grace_stop_is_under_way(void);
void grace_stop_note_signal(int signo, const siginfo_t *info);
void grace_stop_announce(bool in_process);
bool grace_stop_drain_first(void);
void grace_stop_hurry(void);

/* Whether the calling thread, or what its signal handler interrupted, waits in an ending of its own
 * for the hooks, as at a safe point. Async-signal-safe. */
bool grace_stop_waits_here(void);

/* Whether libgrace leads this stop: then it also ends the process. */
bool grace_stop_is_led_by_signal(void);

/* The signal for which this process is drained, from its arrival on, or its parent was when it was
 * forked; 0: none. Async-signal-safe. */
int grace_stop_drains_by(void);

/* The calling thread is about to call exit on libgrace's behalf: let it through. */
void grace_stop_let_exit_pass(void);

/* For the conductor: the stop, whether it is to be cut short, and a futex word that moves when
 * something changes. */
const struct grace_stop_facts *grace_stop_facts(void);
bool grace_stop_is_cut(void);
bool grace_stop_is_wanted_back(void);
uint32_t grace_stop_bell_value(void);
void grace_stop_bell_wait(uint32_t seen, int64_t timeout_ms);
void grace_stop_bell_ring(void);
void grace_stop_bell_tap(void); /* heard only by who waits for the bell, not for the guardian */

/* ---- announce.c ---------------------------------------------------------------------------- */

/* Whether a drain comes before a handler of the target's, one that is there `once` (SA_RESETHAND)
 * or for good. Async-signal-safe. */
bool grace_announce_may_drain(bool once);

/* A chain signal arrived for the target's own handler, which is to run `once` (SA_RESETHAND).
 * Returns true when the handler may run now, false when the signal will be queued again after the
 * announcement, and the drain if it comes before this handler. */
bool grace_announce_first(int signo, const siginfo_t *info, const ucontext_t *context, bool once);

/*
 * The target takes a chain signal by a call of its own (sigwait and kin, signalfd): announce on the
 * calling thread, in normal context, before the call returns. False: the stop was taken back, and
 * the target does not get the signal.
 */
bool grace_announce_here(int signo, const siginfo_t *info);

/* Whether an announcement is still to be made before the target gets a chain signal. */
bool grace_announce_is_owed(void);

/* Whether a drain comes first, from the signal's arrival on. Async-signal-safe. */
bool grace_announce_drains(void);

/* As grace_stop_retry. */
bool grace_announce_retry(const siginfo_t *info, const ucontext_t *context);

/* ---- conductor.c --------------------------------------------------------------------------- */

/*
 * Run the hooks of the phases from first to last that are still owed. With `in_process` false only
 * external ones: the others are skipped, with a line that says so. Async-signal-safe in that case.
 */
void grace_conduct(enum grace_phase first, enum grace_phase last, bool in_process);

/* Whether any hook of these phases would run now, from within the target, for this cause. */
bool grace_conductor_has_work(enum grace_phase first, enum grace_phase last,
                              enum grace_cause cause);

/* Have the thread for in-process hooks ready, if there are any: for whoever has started the
 * conductor, at a safe point. */
void grace_conductor_prepare(void);

/* The lines at the beginning and the end of a stop. */
void grace_conductor_log_begin(void);
void grace_conductor_log_end(void);

/* The stop is taken back: the next one counts anew. */
void grace_conductor_forget(void);

/* ---- count.c ------------------------------------------------------------------------------- */

/* Get ready to count a stop in the file that the config names. Constructor only. */
void grace_count_prepare(void);

/* Do it if so, once. Async-signal-safe. */
void grace_count_stop(void);

/* ---- worker.c ------------------------------------------------------------------------------ */

/*
 * Run one function on a thread of its own, `timeout_ms` at most. It gets a copy of the argument
 * (`size` bytes, GRACE_WORK_MAX at most), which is copied back unless the function was abandoned.
 * Returns its outcome; `detail` is the signal or exit status where there is one. Conductor only.
 */
#define GRACE_WORK_MAX 2048
typedef int grace_work(void *argument);
enum grace_outcome grace_worker_run(grace_work *work, void *argument, size_t size,
                                    uint32_t timeout_ms, int *detail);

/* Start the thread of the first of them beforehand. At a safe point, on any thread; it may come
 * late. */
void grace_worker_prepare(void);

/* The hooks are through and the target goes on to its own ending: take the fault handlers away. */
void grace_worker_stand_down(void);

/* Whether the caller runs on a worker's stack. Async-signal-safe. */
bool grace_worker_is_current(void);

/* End the work of the calling worker with this outcome; its thread never runs again. */
_Noreturn void grace_worker_give_up(enum grace_outcome outcome, int detail);

/* ---- ending.c ------------------------------------------------------------------------------ */

/* Take a signal's default action with its original siginfo. As PID 1: _exit(128 + signo). */
_Noreturn void grace_end_by_signal(int signo, const siginfo_t *info);

/* End the process as the config says, after a stop that libgrace led. `in_thread`: on a thread of
 * ours; false: in a handler over any code, where only the plainest ending is safe. */
_Noreturn void grace_end(bool in_thread);

/* What comes after the hooks, for the log. */
const char *grace_end_description(void);

/* Whether this siginfo asks the main thread to leave through exit(); if so, redirects it. `context`
 * is NULL where the signal was taken in normal context: then it exits. */
bool grace_end_exit_requested(const siginfo_t *info, ucontext_t *context);

/* libc's own ending, without any of ours. */
_Noreturn void grace_real__exit(int status);

#endif
